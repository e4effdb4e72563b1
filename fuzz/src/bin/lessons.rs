#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    waggle_fuzz::targets::lessons(bytes);
});
