//! Whether a collection holds parts of two kinds: pooled features that fall into two groups far apart.

/// Rounds of moving parts to the nearer centre; two groups settle within a few.
const ROUNDS: usize = 32;

/// Two groups of parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Groups {
    /// The parts of the smaller group, in ascending order.
    pub smaller: Vec<usize>,
    /// How far the centres lie apart, in units of how far parts lie from the centre of their own group (root mean square).
    /// Parts of one kind have about 1 or less.
    pub separation: f64,
}

/// The best cut of parts into two groups, by one vector a part, all of one length (2-means, Lloyd 1982, begun with the part
/// farthest from the mean and the part farthest from that one). None for fewer than two parts, or parts that are all alike.
#[must_use]
pub fn groups(parts: &[Vec<f32>]) -> Option<Groups> {
    let all: Vec<usize> = (0..parts.len()).collect();
    let mean = centre(parts, &all)?;
    let first = farthest(parts, &mean)?;
    let second = farthest(parts, &widened(&parts[first]))?;
    let mut centres = [widened(&parts[first]), widened(&parts[second])];
    let mut groups = assigned(parts, &centres);
    for _ in 0..ROUNDS {
        centres = [centre(parts, &groups[0])?, centre(parts, &groups[1])?];
        let moved = assigned(parts, &centres);
        if moved == groups {
            break;
        }
        groups = moved;
    }
    let squares: f64 =
        groups.iter().zip(&centres).flat_map(|(group, at)| group.iter().map(|part| apart(&parts[*part], at))).sum();
    let within = (squares / parts.len() as f64).sqrt();
    let between = centres[0].iter().zip(&centres[1]).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    let [one, other] = groups;
    let smaller = if one.len() < other.len() { one } else { other };
    (between > 0.0).then(|| Groups { smaller, separation: between / within.max(f64::MIN_POSITIVE) })
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Squared distance.
fn apart(part: &[f32], at: &[f64]) -> f64 {
    part.iter().zip(at).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum()
}

fn centre(parts: &[Vec<f32>], group: &[usize]) -> Option<Vec<f64>> {
    let mut sum = widened(parts.get(*group.first()?)?);
    for part in group.iter().skip(1) {
        sum.iter_mut().zip(&parts[*part]).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    sum.iter_mut().for_each(|sum| *sum /= group.len() as f64);
    Some(sum)
}

fn farthest(parts: &[Vec<f32>], from: &[f64]) -> Option<usize> {
    (0..parts.len()).max_by(|a, b| apart(&parts[*a], from).total_cmp(&apart(&parts[*b], from)))
}

/// The parts by the nearer centre; a tie goes to the first.
fn assigned(parts: &[Vec<f32>], centres: &[Vec<f64>; 2]) -> [Vec<usize>; 2] {
    let (near, far) =
        (0..parts.len()).partition(|part| apart(&parts[*part], &centres[0]) <= apart(&parts[*part], &centres[1]));
    [near, far]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part of 32 numbers around `at`, with a spread of about 0.3 in each.
    fn part(at: f32, turn: usize) -> Vec<f32> {
        (0..32).map(|i| at + ((turn * 7919 + i * 104_729) % 1000) as f32 * 1e-3).collect()
    }

    #[test]
    fn parts_of_two_kinds_fall_into_two_groups_far_apart() {
        let mut parts: Vec<Vec<f32>> = (0..40).map(|turn| part(0.0, turn)).collect();
        let one_kind = groups(&parts).unwrap();
        assert!(one_kind.separation < 1.5, "{one_kind:?}");
        for place in [3, 17, 41] {
            parts.insert(place, part(2.0, place));
        }
        let two_kinds = groups(&parts).unwrap();
        assert_eq!(two_kinds.smaller, [3, 17, 41]);
        assert!(two_kinds.separation > 4.0, "{two_kinds:?}");
    }

    #[test]
    fn parts_that_are_all_alike_are_one_group() {
        assert_eq!(groups(&[]), None);
        assert_eq!(groups(&[part(0.0, 1)]), None);
        assert_eq!(groups(&vec![part(0.0, 1); 5]), None);
    }
}
