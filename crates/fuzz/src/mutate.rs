//! Seeded mutations of inputs: the same seed gives the same inputs for ever. No coverage is looked at;
//! that is libFuzzer's.

/// A small generator of numbers (xorshift64*).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// From a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From an input: what a target chooses depends on the input alone.
    #[must_use]
    pub fn of(data: &[u8]) -> Self {
        let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self::new(data.iter().fold(0xcbf2_9ce4_8422_2325, fnv))
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, which is not zero.
    #[expect(clippy::cast_possible_truncation, reason = "it is below `end`")]
    pub const fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Longest input that is made.
const MOST_BYTES: usize = 64 << 10;

/// Texts that break things, whatever the language.
const NASTY: [&str; 22] = [
    "\0",
    "\n",
    "\r\n",
    "\"",
    "\\",
    "{}",
    "[]",
    "null",
    "-1",
    "0",
    "18446744073709551615",
    "9223372036854775807",
    "-9223372036854775808",
    "1e308",
    "99999999999999999999999999",
    "\u{1b}[2J",
    "\u{202e}",
    "\u{9b}",
    "../../..",
    "\u{fffd}",
    "\\u0000",
    "\\ud800",
];

/// Another input made of one of `inputs`, which are not empty.
pub fn mutated(rng: &mut Rng, inputs: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut data = inputs[rng.below(inputs.len())].clone();
    if data.len() > MOST_BYTES {
        let from = rng.below(data.len() - MOST_BYTES + 1);
        data = data[from..from + MOST_BYTES].to_vec();
    }
    for _ in 0..=rng.below(5) {
        once(rng, &mut data, inputs, words);
    }
    data.truncate(MOST_BYTES);
    data
}

fn once(rng: &mut Rng, data: &mut Vec<u8>, inputs: &[Vec<u8>], words: &[&str]) {
    let at = rng.below(data.len() + 1);
    let end = at + rng.below((data.len() - at).min(64) + 1);
    match rng.below(10) {
        0 | 1 if !data.is_empty() => {
            let at = rng.below(data.len());
            data[at] ^= 1 << rng.below(8);
        }
        2 => {
            data.drain(at..end);
        }
        3 => {
            let again = data[at..end].to_vec();
            data.splice(at..at, again);
        }
        4 | 5 => {
            let nasty = NASTY[rng.below(NASTY.len())];
            data.splice(at..end, nasty.bytes());
        }
        6 | 7 if !words.is_empty() => {
            let word = words[rng.below(words.len())];
            data.splice(at..end, word.bytes());
        }
        8 => {
            let other = &inputs[rng.below(inputs.len())];
            let from = rng.below(other.len() + 1);
            let to = from + rng.below((other.len() - from).min(4096) + 1);
            data.splice(at..end, other[from..to].iter().copied());
        }
        // A number becomes another.
        _ => {
            if let Some(digit) = data[at..].iter().position(u8::is_ascii_digit) {
                let from = at + digit;
                let length = data[from..]
                    .iter()
                    .take_while(|b| b.is_ascii_digit())
                    .count();
                let nasty = NASTY[8 + rng.below(7)];
                data.splice(from..from + length, nasty.bytes());
            }
        }
    }
}
