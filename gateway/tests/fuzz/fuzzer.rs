//! Mutations of a corpus, guided by what the target answers.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;

use crate::targets::sign;

/// Inputs of a target in a brief run, at most.
const BRIEF_INPUTS: u64 = 20_000;
const BRIEF: Duration = Duration::from_secs(3);
const INPUT_BYTES_MAX: usize = 16 * 1024;
/// Bases of mutations.
const CORPUS_MAX: usize = 4_096;

pub(crate) struct Fuzzer<'a> {
    target: &'a str,
    words: &'a [&'a str],
    corpus: Vec<Vec<u8>>,
    random: Random,
    seed: u64,
    most: Option<Duration>,
}

impl<'a> Fuzzer<'a> {
    /// With the files in `corpus/<target>`, of which there must be some.
    pub(crate) fn new(target: &'a str, words: &'a [&'a str]) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
        let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let corpus: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        assert!(!corpus.is_empty(), "{} is empty", folder.display());
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
        let seed = number("WAGGLE_FUZZ_SEED").unwrap_or(1);
        let most = number("WAGGLE_FUZZ_SECONDS").map(Duration::from_secs);
        Self { target, words, corpus, random: Random(seed), seed, most }
    }

    /// Feeds `target` until time is over. It returns what its answer looks like: new looks are followed.
    pub(crate) fn run(mut self, mut target: impl FnMut(&[u8]) -> u64) {
        let start = Instant::now();
        let mut seen = FxHashSet::default();
        let mut feed = |input: &[u8], target_name: &str, seed: u64| {
            catch_unwind(AssertUnwindSafe(|| target(input))).unwrap_or_else(|panic| {
                let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
                let path = folder.join(format!("{target_name}-{:016x}", sign(&format!("{input:?}"))));
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, input).unwrap();
                eprintln!(
                    "{target_name}: seed {seed}: the input is in {}; mended, it belongs in the corpus",
                    path.display()
                );
                resume_unwind(panic)
            })
        };
        for input in &self.corpus {
            seen.insert(feed(input, self.target, self.seed));
        }
        let mut inputs = self.corpus.len() as u64;
        loop {
            let is_over = match self.most {
                Some(most) => start.elapsed() >= most,
                None => inputs >= BRIEF_INPUTS || start.elapsed() >= BRIEF,
            };
            if is_over {
                break;
            }
            let input = self.mutation();
            inputs += 1;
            if seen.insert(feed(&input, self.target, self.seed)) && self.corpus.len() < CORPUS_MAX {
                self.corpus.push(input);
            }
        }
        eprintln!("{}: {inputs} inputs, {} kinds of answers, seed {}", self.target, seen.len(), self.seed);
    }

    fn mutation(&mut self) -> Vec<u8> {
        let mut input = self.pick().clone();
        for _ in 0..=self.random.below(4) {
            self.mutate(&mut input);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn pick(&mut self) -> &Vec<u8> {
        let index = self.random.below(self.corpus.len());
        &self.corpus[index]
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let at = self.random.below(input.len() + 1);
        match self.random.below(8) {
            0 if at < input.len() => input[at] ^= 1 << self.random.below(8),
            1 if at < input.len() => input[at] = self.random.next() as u8,
            2 => input.insert(at, self.random.next() as u8),
            3 => input.truncate(at),
            4 => {
                let end = (at + 1 + self.random.below(16)).min(input.len());
                input.drain(at.min(end)..end);
            }
            5 => {
                let word = self.words[self.random.below(self.words.len())];
                input.splice(at..at, word.bytes());
            }
            6 => {
                // A part of itself, again.
                let end = (at + 1 + self.random.below(64)).min(input.len());
                let part = input[at.min(end)..end].to_vec();
                input.splice(at..at, part);
            }
            _ => {
                let other = self.pick().clone();
                let from = self.random.below(other.len() + 1);
                input.splice(at.., other[from..].iter().copied());
            }
        }
    }
}

/// A generator of numbers (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}
