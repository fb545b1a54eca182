//! Text that strangers wrote, made fit to be shown.

use std::borrow::Cow;

/// One line of at most so many characters, without anything that hides or turns what stands beside it.
pub(super) fn line(text: &str, most: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    let mut space = false;
    for c in text.chars().filter(|c| !is_unseen(*c)) {
        if c.is_control() || c.is_whitespace() {
            space = count > 0;
            continue;
        }
        if count + usize::from(space) >= most {
            line.push('…');
            return line;
        }
        if std::mem::take(&mut space) {
            line.push(' ');
            count += 1;
        }
        line.push(c);
        count += 1;
    }
    line
}

/// Text as HTML shows it, in an element or in a quoted attribute. Lines and tabs stay, other control characters and
/// those that turn the direction of text go.
pub(super) fn html(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    let is_shown = |c: &char| matches!(c, '\n' | '\t') || !(c.is_control() || is_unseen(*c));
    for c in text.chars().filter(is_shown) {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

/// Characters without a shape that change how others look: marks, embeddings, overrides and isolates of direction,
/// invisible separators and tags. The joiners of scripts and emoji are not among them.
fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// A name of a program in words: `api_key` is "api key".
pub(super) fn words(name: &str) -> Cow<'_, str> {
    if name.contains('_') { name.replace('_', " ").into() } else { name.into() }
}

/// "a", "a and b", "a, b and c".
pub(super) fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_and_short() {
        for (text, expected) in [
            ("", ""),
            ("Spring", "Spring"),
            ("  a \t\r\n b  ", "a b"),
            ("a\u{2028}b\u{2029}c\u{a0}d", "a b c d"),
            ("0123456789", "0123456789"),
            ("01234567890", "0123456789…"),
            ("012345678 9", "012345678…"),
            ("ééééééééééé", "éééééééééé…"),
            ("a\0b\u{1b}[31mc\u{85}", "a b [31mc"),
        ] {
            assert_eq!(line(text, 10), expected, "{text:?}");
        }
    }

    #[test]
    fn nothing_turns_or_hides_what_stands_beside_it() {
        assert_eq!(line("invoice\u{202e}gpj.exe", 80), "invoicegpj.exe");
        let unseen = "\u{200b}\u{200e}\u{200f}\u{2066}\u{2067}\u{2068}\u{2069}\u{202a}\u{202c}\u{61c}\u{feff}\u{ad}\u{e0041}";
        assert_eq!(line(&format!("{unseen}a{unseen}b{unseen}"), 80), "ab");
        assert_eq!(line(unseen, 80), "");
        assert_eq!(html(&format!("a{unseen}\u{202e}b\u{7}")), "ab");
        // The joiners that Persian and emoji are written with.
        assert_eq!(line("می\u{200c}خواهم 👩\u{200d}👧", 80), "می\u{200c}خواهم 👩\u{200d}👧");
    }

    #[test]
    fn html_is_escaped() {
        assert_eq!(
            html("<script>alert('x' & \"y\")</script>\n\tz"),
            "&lt;script&gt;alert(&#39;x&#39; &amp; &quot;y&quot;)&lt;/script&gt;\n\tz"
        );
        assert_eq!(html("&amp;"), "&amp;amp;");
    }

    #[test]
    fn a_long_text_is_not_read_to_its_end() {
        let long = "x".repeat(10 << 20);
        assert_eq!(line(&long, 80).chars().count(), 81);
    }

    #[test]
    fn lists_read_well() {
        let texts = |parts: &[&str]| list(&parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>());
        assert_eq!(texts(&[]), "");
        assert_eq!(texts(&["a"]), "a");
        assert_eq!(texts(&["a", "b"]), "a and b");
        assert_eq!(texts(&["a", "b", "c"]), "a, b and c");
        assert_eq!(words("api_key"), "api key");
    }
}
