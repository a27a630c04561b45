//! Labels of international domain names in their ASCII form (RFC 3492).

const BASE: u32 = 36;
const T_MIN: u32 = 1;
const T_MAX: u32 = 26;
const SKEW: u32 = 38;
const DAMP: u32 = 700;

/// A label as DNS has it: `xn--` and more where it is not ASCII. None where it is too long for
/// the arithmetic.
pub fn to_ascii(label: &str) -> Option<String> {
    if label.is_ascii() {
        return Some(label.to_owned());
    }
    Some(format!("xn--{}", encode(label)?))
}

fn encode(label: &str) -> Option<String> {
    let chars: Vec<u32> = label.chars().map(u32::from).collect();
    let mut encoded: String = label.chars().filter(char::is_ascii).collect();
    let basic = u32::try_from(encoded.len()).ok()?;
    if basic > 0 {
        encoded.push('-');
    }
    let (mut least, mut delta, mut bias, mut handled) = (0x80, 0_u32, 72, basic);
    while (handled as usize) < chars.len() {
        let next = *chars.iter().filter(|c| **c >= least).min()?;
        delta = delta.checked_add((next - least).checked_mul(handled + 1)?)?;
        for c in &chars {
            if *c < next {
                delta = delta.checked_add(1)?;
            } else if *c == next {
                push_number(&mut encoded, delta, bias);
                bias = adapt(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta = delta.checked_add(1)?;
        least = next + 1;
    }
    Some(encoded)
}

fn push_number(encoded: &mut String, mut number: u32, bias: u32) {
    let mut k = BASE;
    loop {
        let threshold = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
        if number < threshold {
            encoded.push(digit(number));
            return;
        }
        let span = BASE - threshold;
        encoded.push(digit(threshold + (number - threshold) % span));
        number = (number - threshold) / span;
        k += BASE;
    }
}

fn digit(value: u32) -> char {
    let from = if value < 26 { u32::from('a') } else { u32::from('0') - 26 };
    char::from_u32(from + value).expect("a letter or a digit")
}

fn adapt(delta: u32, points: u32, is_first: bool) -> u32 {
    let mut delta = if is_first { delta / DAMP } else { delta / 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > ((BASE - T_MIN) * T_MAX) / 2 {
        delta /= BASE - T_MIN;
        k += BASE;
    }
    k + (BASE - T_MIN + 1) * delta / (delta + SKEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_written_as_dns_has_them() {
        for (label, ascii) in [
            ("good", "good"),
            ("müller", "xn--mller-kva"),
            ("рф", "xn--p1ai"),
            ("中国", "xn--fiqs8s"),
            ("президент", "xn--d1abbgf6aiiy"),
            ("bücher", "xn--bcher-kva"),
            ("他们为什么不说中文", "xn--ihqwcrb4cv8a8dqg056pqjye"),
        ] {
            assert_eq!(to_ascii(label).as_deref(), Some(ascii));
        }
    }
}
