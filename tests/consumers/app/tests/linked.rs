//! Which consumers a program finds: what the docs of `#[event_consumer]` say of other crates.
//!
//! `cargo xtask soak lto` runs this with optimizations across all crates.

use std::process::Command;

fn printed(program: &str) -> String {
    let output = Command::new(program).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
}

#[test]
fn a_crate_that_is_named_brings_its_consumers() {
    assert_eq!(
        printed(env!("CARGO_BIN_EXE_named")),
        "stuck_function_of_the_library, other_function_of_the_library, function_of_the_library, \
         function_of_the_app, TypeOfTheLibrary
stuck_function_of_the_library: launched
function_of_the_library: launched
function_of_the_app: launched
TypeOfTheLibrary: launched
"
    );
}

#[test]
fn a_crate_that_nothing_names_brings_none() {
    assert_eq!(
        printed(env!("CARGO_BIN_EXE_unnamed")),
        "function_of_the_app\nfunction_of_the_app: launched\n"
    );
}
