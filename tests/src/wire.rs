//! The statements in what a client sends to a server: each as often as it was executed, prepared or not.

use std::collections::HashMap;

pub enum Recorder {
    Postgres { bytes: Vec<u8>, started: bool, prepared: HashMap<Vec<u8>, String> },
    Mysql { bytes: Vec<u8>, prepared: HashMap<u32, String>, preparing: Option<(String, Vec<u8>)> },
}

impl Recorder {
    pub fn new(url: &str) -> Self {
        if url.starts_with("postgres") {
            Self::Postgres { bytes: Vec::new(), started: false, prepared: HashMap::new() }
        } else {
            Self::Mysql { bytes: Vec::new(), prepared: HashMap::new(), preparing: None }
        }
    }

    /// Takes more bytes of the client; returns the statements that they complete.
    pub fn read(&mut self, more: &[u8]) -> Vec<String> {
        let mut executed = Vec::new();
        match self {
            Self::Postgres { bytes, started, prepared } => {
                bytes.extend_from_slice(more);
                // The first message has no type.
                while let Some(message) = cut(bytes, usize::from(*started), 4, u32_be, 0) {
                    if !std::mem::replace(started, true) {
                        continue;
                    }
                    let mut strings = message[5..].split(|byte| *byte == 0);
                    let (first, second) = (strings.next().unwrap_or_default(), strings.next());
                    match message[0] {
                        b'Q' => executed.push(text(first)),
                        b'P' => drop(prepared.insert(first.to_vec(), text(second.unwrap_or_default()))),
                        b'B' => executed.extend(prepared.get(second.unwrap_or_default()).cloned()),
                        _ => {}
                    }
                }
            }
            Self::Mysql { bytes, prepared, preparing } => {
                bytes.extend_from_slice(more);
                while let Some(packet) = cut(bytes, 0, 3, u24_le, 4) {
                    // A command is the first packet of an exchange; what comes before is the log-in.
                    let (0, [command, body @ ..]) = (packet[3], &packet[4..]) else { continue };
                    match command {
                        0x03 => executed.push(text(body)),
                        0x16 => *preparing = Some((text(body), Vec::new())),
                        0x17 => {
                            let number = u32::from_le_bytes([body[0], body[1], body[2], body[3]]);
                            executed.extend(prepared.get(&number).cloned());
                        }
                        _ => {}
                    }
                }
            }
        }
        executed
    }

    /// Takes more bytes of the server, before the client gets them.
    ///
    /// MariaDB numbers a prepared statement in its answer. The numbers cannot be counted instead: a statement that
    /// the server prepares again, since its table left the cache, takes a number too.
    pub fn answered(&mut self, more: &[u8]) {
        let Self::Mysql { prepared, preparing, .. } = self else { return };
        let Some((statement, answer)) = preparing else { return };
        answer.extend_from_slice(more);
        // Four bytes of header, then 0 and the number; anything else says that the statement was refused.
        if let [_, _, _, _, 0, number @ ..] = &answer[..] {
            let Some(number) = number.first_chunk() else { return };
            prepared.insert(u32::from_le_bytes(*number), std::mem::take(statement));
        } else if answer.len() < 5 {
            return;
        }
        *preparing = None;
    }
}

/// Takes one message off the front: `before` bytes, a length of `width` bytes, and what it counts plus `extra`.
fn cut(
    bytes: &mut Vec<u8>,
    before: usize,
    width: usize,
    length: fn(&[u8]) -> usize,
    extra: usize,
) -> Option<Vec<u8>> {
    let counted = length(bytes.get(before..before + width)?);
    let total = before + counted + extra;
    (bytes.len() >= total).then(|| bytes.drain(..total).collect())
}

fn u32_be(bytes: &[u8]) -> usize {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
}

fn u24_le(bytes: &[u8]) -> usize {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) as usize
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
