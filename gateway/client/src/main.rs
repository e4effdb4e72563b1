//! wagglectl.
fn main() {}
