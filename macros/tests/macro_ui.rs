//! What the macros accept, run for real, and what they refuse, with what they say then.
//!
//! Here and not with the library: what is built for it are this package's dependencies, of which the library has many more for its own tests.
//!
//! After a change of a message: `TRYBUILD=overwrite cargo test --package multiproc-macros --test macro_ui`, then read every changed `.stderr` as its
//! author's user would: is it at the right place, and does it say what to do?

#[test]
fn the_macros_accept_what_is_documented() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
}

#[test]
fn the_macros_refuse_misuse_at_its_place_with_advice() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/fail/*.rs");
}
