//! The one thing of EXIF that matters here: which way up a viewer shows the picture.

/// Stands before the tags in a JPEG.
const EXIF_PREFIX: &[u8] = b"Exif\0\0";
/// The tag, and the type of its value (16 bits).
const ORIENTATION: u16 = 0x0112;
const TYPE_U16: u16 = 3;

/// The orientation that a JPEG names, 1 to 8; none if it names none. 1 is as stored.
pub(super) fn of_jpeg(bytes: &[u8]) -> Option<u16> {
    let mut at = 2;
    loop {
        // Segments up to the coded picture: 0xFF, code, length with the two bytes of itself.
        let (code, length) = match bytes.get(at..at + 4)? {
            [0xFF, 0xFF, ..] => {
                at += 1;
                continue;
            }
            [0xFF, 0xDA, ..] => return None,
            [0xFF, code, high, low] => (*code, usize::from(u16::from_be_bytes([*high, *low]))),
            _ => return None,
        };
        let body = bytes.get(at + 4..at + 2 + length)?;
        if let Some(tags) = body.strip_prefix(EXIF_PREFIX).filter(|_| code == 0xE1) {
            return orientation(tags);
        }
        at += 2 + length;
    }
}

/// The orientation among the tags of a TIFF header, as a JPEG's segment and a PNG's chunk have them.
pub(super) fn orientation(tags: &[u8]) -> Option<u16> {
    let little = match tags.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let pair = [*tags.get(at)?, *tags.get(at + 1)?];
        Some(if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
    };
    let (first, second) = (short(4)?, short(6)?);
    let (low, high) = if little { (first, second) } else { (second, first) };
    let list = usize::try_from(u32::from(low) | u32::from(high) << 16).ok()?;
    let at = |entry: usize| list.checked_add(2 + 12 * entry);
    let entry = (0..usize::from(short(list)?)).filter_map(at).find(|at| short(*at) == Some(ORIENTATION))?;
    let value = short(entry + 8).filter(|_| short(entry + 2) == Some(TYPE_U16))?;
    (1..=8).contains(&value).then_some(value)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tags with an orientation, behind another tag.
    pub(in crate::picture) fn tags(little: bool, value: u16) -> Vec<u8> {
        let short = |value: u16| if little { value.to_le_bytes() } else { value.to_be_bytes() };
        let long = |value: u32| if little { value.to_le_bytes() } else { value.to_be_bytes() };
        let mut bytes = if little { b"II*\0".to_vec() } else { b"MM\0*".to_vec() };
        bytes.extend(long(8));
        bytes.extend(short(2));
        for (tag, value) in [(0x0100, 7), (ORIENTATION, value)] {
            bytes.extend([short(tag), short(TYPE_U16)].concat());
            bytes.extend(long(1));
            bytes.extend([short(value), short(0)].concat());
        }
        bytes.extend(long(0));
        bytes
    }

    #[test]
    fn orientation_is_read_in_both_byte_orders_and_only_where_it_is_one() {
        for value in 1..=8 {
            assert_eq!([true, false].map(|little| orientation(&tags(little, value))), [Some(value); 2]);
        }
        assert_eq!(orientation(&tags(true, 0)), None);
        assert_eq!(orientation(&tags(true, 9)), None);
        for length in 0..tags(false, 3).len() - 8 {
            assert_eq!(orientation(&tags(false, 3)[..length]), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_result(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = of_jpeg(&[&b"\xFF\xD8"[..], &bytes].concat());
            let _ = orientation(&[&b"II*\0"[..], &bytes].concat());
            let _ = orientation(&[&b"MM\0*"[..], &bytes].concat());
        }
    }
}
