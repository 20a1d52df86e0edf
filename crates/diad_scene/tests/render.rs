//! What every rendered part promises, for every product and kind of defect.

use diad_scene::{Defect, IMAGE_SIDE_PX, PartSpec, Product, RenderedPart, render, render_sound};

fn good(product: Product, seed: u64) -> PartSpec {
    PartSpec { product, seed, defect: None }
}

/// Mean absolute difference to the sound part over pixels and channels, inside and outside the mask.
fn mean_levels(spec: &PartSpec, part: &RenderedPart) -> (f64, f64) {
    let sound = render_sound(spec);
    let (mut inside, mut outside) = ((0.0, 0.0), (0.0, 0.0));
    for ((a, b), m) in part.image.pixels().zip(sound.pixels()).zip(part.mask.pixels()) {
        let sum: u32 = a.0.iter().zip(b.0).map(|(p, q)| u32::from(p.abs_diff(q))).sum();
        let to = if m[0] > 0 { &mut inside } else { &mut outside };
        *to = (to.0 + f64::from(sum) / 3.0, to.1 + 1.0);
    }
    (inside.0 / f64::max(inside.1, 1.0), outside.0 / f64::max(outside.1, 1.0))
}

#[test]
fn render_same_spec_twice_gives_equal_bytes() {
    for product in Product::ALL {
        for defect in [None, Some(Defect::Stain), Some(Defect::Misplacement)] {
            let spec = PartSpec { product, seed: 11, defect };
            let (first, second) = (render(&spec), render(&spec));
            assert_eq!(first.image, second.image, "{product} {defect:?}");
            assert_eq!(first.mask, second.mask, "{product} {defect:?}");
        }
    }
}

#[test]
fn render_of_different_seeds_gives_different_pictures() {
    for product in Product::ALL {
        assert_ne!(render(&good(product, 1)).image, render(&good(product, 2)).image, "{product}");
    }
}

#[test]
fn render_of_different_products_gives_different_pictures() {
    let pictures = Product::ALL.map(|p| render(&good(p, 5)).image);
    for (i, a) in pictures.iter().enumerate() {
        for b in &pictures[i + 1..] {
            assert_ne!(a, b);
        }
    }
}

#[test]
fn render_good_part_gives_full_size_picture_and_empty_mask() {
    for product in Product::ALL {
        let part = render(&good(product, 3));
        assert_eq!(part.image.dimensions(), (IMAGE_SIDE_PX, IMAGE_SIDE_PX));
        assert_eq!(part.mask.dimensions(), (IMAGE_SIDE_PX, IMAGE_SIDE_PX));
        assert!(part.mask.pixels().all(|m| m[0] == 0), "{product}");
    }
}

#[test]
fn render_good_part_uses_the_tonal_range_without_clipping() {
    for product in Product::ALL {
        let picture = render(&good(product, 4)).image;
        let bytes = picture.as_raw();
        let clipped = bytes.iter().filter(|v| **v == 0 || **v == 255).count();
        assert!(clipped * 50 < bytes.len(), "{product}: {clipped} of {} values clipped", bytes.len());
        let (low, high) = bytes.iter().fold((255, 0), |(l, h), v| (l.min(*v), h.max(*v)));
        assert!(high - low > 100, "{product}: range {low}..{high}");
    }
}

/// The heart of the promise: visible, of bounded size, and the mask is where the picture changed.
fn check_defects(products: &[Product]) {
    for product in products {
        for defect in product.defects() {
            let spec = PartSpec { product: *product, seed: 70 + *defect as u64, defect: Some(*defect) };
            let part = render(&spec);
            assert!(part.mask.pixels().all(|m| m[0] == 0 || m[0] == 255), "{product} {defect}");
            let area = part.mask.pixels().filter(|m| m[0] > 0).count();
            assert!((66..=5_242).contains(&area), "{product} {defect}: mask of {area} px");
            let (inside, outside) = mean_levels(&spec, &part);
            assert!(inside >= 12.0, "{product} {defect}: {inside:.1} levels inside");
            assert!(outside < 0.5, "{product} {defect}: {outside:.2} levels outside");
        }
    }
}

// In three parts, so that they run side by side.
#[test]
fn render_defective_metal_and_plastic_gives_visible_defect_of_bounded_area() {
    check_defects(&[Product::Washer, Product::Gear, Product::Connector]);
}

#[test]
fn render_defective_fabric_circuit_and_glass_gives_visible_defect_of_bounded_area() {
    check_defects(&[Product::Fabric, Product::Circuit, Product::Glass]);
}

#[test]
fn render_defective_wood_blister_and_cap_gives_visible_defect_of_bounded_area() {
    check_defects(&[Product::Wood, Product::Blister, Product::Cap]);
}

#[test]
fn render_of_a_kind_a_line_never_brings_still_gives_a_mask() {
    // Fabric and circuit boards list no dents, but the function is total.
    for product in [Product::Fabric, Product::Circuit] {
        let part = render(&PartSpec { product, seed: 8, defect: Some(Defect::Dent) });
        assert!(part.mask.pixels().any(|m| m[0] > 0), "{product}");
    }
}

#[test]
fn render_of_small_and_large_defects_spreads_over_a_decade_of_area() {
    let areas: Vec<usize> = (0..24)
        .map(|seed| render(&PartSpec { product: Product::Wood, seed, defect: Some(Defect::Stain) }))
        .map(|part| part.mask.pixels().filter(|m| m[0] > 0).count())
        .collect();
    let (low, high) = (areas.iter().min().copied().unwrap_or(0), areas.iter().max().copied().unwrap_or(0));
    assert!(low < 350 && high > 1_100, "areas {low}..{high} px");
}

#[test]
fn every_product_lists_at_least_five_distinct_kinds_of_defect() {
    for product in Product::ALL {
        let mut kinds = product.defects().to_vec();
        kinds.sort();
        kinds.dedup();
        assert!(kinds.len() >= 5 && kinds.len() == product.defects().len(), "{product}");
    }
}

#[test]
fn names_read_back_give_the_same_product_and_defect() {
    for product in Product::ALL {
        assert_eq!(Product::from_name(product.name()), Some(product));
    }
    for defect in Defect::ALL {
        assert_eq!(Defect::from_name(defect.name()), Some(defect));
    }
    assert_eq!(Product::from_name("Washer"), None);
    assert_eq!(Defect::from_name("good"), None);
}
