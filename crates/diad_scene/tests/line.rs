//! The line: addressable, disjoint between seeds, honest about its defect rate.

use std::collections::HashSet;

use diad_scene::{Line, PartSpec, Product};
use proptest::prelude::{any, prop_assert_eq, prop_assert_ne, proptest};

proptest! {
    #[test]
    fn part_asked_twice_gives_the_same_spec(seed in any::<u64>(), index in any::<u64>(), rate in 0.0_f32..=1.0) {
        let line = Line::new(seed, &Product::ALL, rate);
        prop_assert_eq!(line.part(index), Line::new(seed, &Product::ALL, rate).part(index));
    }

    #[test]
    fn part_of_another_line_or_index_has_another_seed(seed in any::<u64>(), index in 0_u64..u64::MAX - 1) {
        let line = Line::new(seed, &Product::ALL, 0.5);
        prop_assert_ne!(line.part(index).seed, line.part(index + 1).seed);
        prop_assert_ne!(line.part(index).seed, Line::new(seed ^ 1, &Product::ALL, 0.5).part(index).seed);
    }

    #[test]
    fn part_listed_as_defective_has_a_kind_its_product_lists(seed in any::<u64>(), index in any::<u64>()) {
        let part = Line::new(seed, &Product::ALL, 1.0).part(index);
        prop_assert_eq!(part.defect.map(|d| part.product.defects().contains(&d)), Some(true));
    }
}

#[test]
fn parts_from_an_index_give_the_parts_at_those_indices() {
    let line = Line::new(3, &[Product::Cap, Product::Wood], 0.3);
    let run: Vec<PartSpec> = line.parts_from(5).take(4).collect();
    assert_eq!(run, (5..9).map(|i| line.part(i)).collect::<Vec<_>>());
    assert_eq!(run.iter().map(|p| p.product).collect::<HashSet<_>>().len(), 2);
}

#[test]
fn line_over_no_products_brings_all_in_turn() {
    let line = Line::new(1, &[], 0.0);
    let products: Vec<Product> = line.parts_from(0).take(9).map(|p| p.product).collect();
    assert_eq!(products, Product::ALL);
}

#[test]
fn lines_of_neighbouring_seeds_share_no_part() {
    let seeds =
        |seed| Line::new(seed, &Product::ALL, 0.2).parts_from(0).take(5_000).map(|p| p.seed).collect::<HashSet<_>>();
    let (one, two) = (seeds(1), seeds(2));
    assert_eq!(one.len(), 5_000);
    assert!(one.is_disjoint(&two));
}

#[test]
fn defect_rate_is_kept_on_average_and_at_its_bounds() {
    let rows =
        [(0.0, 0..=0), (1.0, 2_000..=2_000), (0.2, 340..=460), (f32::NAN, 0..=0), (7.0, 2_000..=2_000), (-1.0, 0..=0)];
    for (rate, expected) in rows {
        let defective =
            Line::new(9, &Product::ALL, rate).parts_from(0).take(2_000).filter(|p| p.defect.is_some()).count();
        assert!(expected.contains(&defective), "rate {rate}: {defective} of 2000");
    }
}
