use diad_core::drift::Spread;
use proptest::prelude::*;

use super::*;

fn cuts(products: &[(&str, f32, f32)]) -> BTreeMap<ProductName, Cuts> {
    let score = |value| Score::try_new(value).unwrap();
    products
        .iter()
        .map(|(name, review, reject)| {
            let (review, reject) = (score(*review), score(*reject));
            let cuts = Cuts { review, reject, reference: Reference::default(), bank: BankEdit::Keep };
            (ProductName::try_new(name).unwrap(), cuts)
        })
        .collect()
}

fn edited(text: &str, products: &[(&str, f32, f32)]) -> String {
    with_cuts(text, "thresholds.yaml", &cuts(products), "note").unwrap()
}

/// The text with a reference for `gear`; its cut-offs are 0.5 and 0.6.
fn referenced(text: &str, score: Option<(f64, f64)>, brightness: Option<(f64, f64)>) -> String {
    let mut cuts = cuts(&[("gear", 0.5, 0.6)]);
    let spread = |(mean, sd)| Spread::try_new(mean, sd).unwrap();
    for cuts in cuts.values_mut() {
        cuts.reference = Reference { score: score.map(spread), brightness: brightness.map(spread), sharpness: None };
    }
    with_cuts(text, "thresholds.yaml", &cuts, "note").unwrap()
}

const HEAD: &str = "# mine\ndefault: { review: 0.1, reject: 0.2 } # keep\n";

#[test]
fn new_default_goes_to_whoever_has_nothing_of_its_own() {
    let score = |value| Score::try_new(value).unwrap();
    let text = format!("{HEAD}products:\n  gear: {{ reject: 0.4 }}\n  cap: {{ review: 0.3, reject: 0.5 }}\n");
    let edited = with_default(&text, "thresholds.yaml", score(0.05), score(0.25), "note").unwrap();
    assert_eq!(edited, format!("{}# note\n", text.replace("review: 0.1, reject: 0.2", "review: 0.05, reject: 0.25")));
    let gear = ProductName::try_new("gear").unwrap();
    let set = ThresholdSet::read(&edited, "thresholds.yaml").unwrap();
    assert_eq!(set.for_product(Some(&gear)).review(), score(0.05));
    // It would put a product's review above its reject.
    let refused = with_default(&text, "thresholds.yaml", score(0.45), score(0.5), "note").unwrap_err();
    assert!(matches!(&refused, EditError::Faults(_)) && refused.to_string().contains("products.gear"), "{refused}");
}

#[test]
fn values_are_replaced_where_they_stand() {
    let text = format!(
        "{HEAD}products:\n  gear:   {{ reject: 0.4, review:  0.3 }}  # worn tool\n  cap:\n    # tight\n    review: 0.01 # a\n    reject: 0.02\n"
    );
    let want = format!(
        "{HEAD}products:\n  gear:   {{ reject: 0.6, review:  0.5 }}  # worn tool\n  cap:\n    # tight\n    review: 0.03 # a\n    reject: 0.04\n# note\n"
    );
    assert_eq!(edited(&text, &[("gear", 0.5, 0.6), ("cap", 0.03, 0.04)]), want);
}

#[test]
fn keys_that_were_left_out_are_put_in() {
    let text = format!("{HEAD}products:\n  gear: {{ min_area_px: 9 }}\n  cap:\n    reject: 0.5\n");
    let want = format!(
        "{HEAD}products:\n  gear: {{ reject: 0.6, review: 0.5, min_area_px: 9 }}\n  cap:\n    review: 0.03\n    reject: 0.04\n# note\n"
    );
    assert_eq!(edited(&text, &[("gear", 0.5, 0.6), ("cap", 0.03, 0.04)]), want);
}

#[test]
fn masks_stay_and_count_as_keys() {
    let rect = "{ x: 1, y: 2, width: 3, height: 4 }";
    let text = format!(
        "{HEAD}products:\n  gear: {{ roi: {rect} }}\n  cap:\n    ignore: # the label\n      - {rect}\n      # and the edge\n      - {rect}\n    roi: ~\n"
    );
    let want = format!(
        "{HEAD}products:\n  gear: {{ reject: 0.6, review: 0.5, roi: {rect} }}\n  cap:\n    reject: 0.04\n    review: 0.03\n    ignore: # the label\n      - {rect}\n      # and the edge\n      - {rect}\n    roi: ~\n# note\n"
    );
    assert_eq!(edited(&text, &[("gear", 0.5, 0.6), ("cap", 0.03, 0.04)]), want);
}

#[test]
fn new_products_find_their_place() {
    let line = "gear: { review: 0.5, reject: 0.6 }";
    for (products, want) in [
        ("", format!("products:\n  {line}\n")),
        ("products:\n", format!("products:\n  {line}\n")),
        ("products: # none yet", format!("products: # none yet\n  {line}\n")),
        ("products:\n    cap: { review: 0 }\n", format!("products:\n    {line}\n    cap: {{ review: 0 }}\n")),
        ("products: { cap: { review: 0 } }\n", format!("products: {{ {line}, cap: {{ review: 0 }} }}\n")),
        ("products: {}\n", format!("products: {{ {line} }}\n")),
    ] {
        assert_eq!(
            edited(&format!("{HEAD}{products}"), &[("gear", 0.5, 0.6)]),
            format!("{HEAD}{want}# note\n"),
            "{products:?}"
        );
    }
}

#[test]
fn references_find_their_place_and_what_is_not_known_stays() {
    let both = (Some((0.02, 0.003)), Some((0.5, 0.01)));
    let written = "reference: { score: [0.02, 0.003], brightness: [0.5, 0.01] }";
    let cuts = "review: 0.5, reject: 0.6";
    for ((score, brightness), before, want) in [
        (both, String::new(), format!("products:\n  gear: {{ {cuts}, {written} }}\n")),
        (
            both,
            "products:\n  gear: { review: 0.1, reject: 0.2, min_area_px: 9 } # a\n".to_owned(),
            format!("products:\n  gear: {{ {cuts}, {written}, min_area_px: 9 }} # a\n"),
        ),
        (
            both,
            "products:\n  gear:\n    review: 0.1\n    reject: 0.2 # a\n    min_area_px: 9\n".to_owned(),
            format!("products:\n  gear:\n    review: 0.5\n    reject: 0.6 # a\n    {written}\n    min_area_px: 9\n"),
        ),
        (
            (Some((0.02, 0.003)), None),
            format!("products:\n  gear: {{ {cuts}, reference: {{ brightness: [ 0.5, 0.01 ] }} }}\n"),
            format!("products:\n  gear: {{ {cuts}, reference: {{ score: [0.02, 0.003], brightness: [ 0.5, 0.01 ] }} }}\n"),
        ),
        (
            both,
            format!("products:\n  gear: {{ {cuts}, reference: {{ score: [1, 2], sharpness: [3, 4], brightness: [5,6] }} }}\n"),
            format!("products:\n  gear: {{ {cuts}, reference: {{ score: [0.02, 0.003], sharpness: [3, 4], brightness: [0.5,0.01] }} }}\n"),
        ),
        (
            both,
            "products:\n  gear:\n    reference:\n      score:\n        - 1 # a\n        - 2\n    reject: 0.7\n".to_owned(),
            "products:\n  gear:\n    review: 0.5\n    reference:\n      brightness: [0.5, 0.01]\n      score:\n        - 0.02 # a\n        - 0.003\n    reject: 0.6\n".to_owned(),
        ),
    ] {
        assert_eq!(referenced(&format!("{HEAD}{before}"), score, brightness), format!("{HEAD}{want}# note\n"), "{before}");
    }
}

#[test]
fn what_is_not_clear_is_left_to_a_person_and_says_what_to_write() {
    let text = format!("{HEAD}products: ~\n");
    let error = with_cuts(&text, "thresholds.yaml", &cuts(&[("gear", 0.5, 0.6)]), "note").unwrap_err();
    assert!(error.to_string().contains("gear: { review: 0.5, reject: 0.6 }"), "{error}");
    let error = with_cuts("default: 3\n", "thresholds.yaml", &cuts(&[("gear", 0.5, 0.6)]), "note").unwrap_err();
    assert!(matches!(error, EditError::Faults(_)), "{error:?}");
}

#[test]
fn a_note_stays_one_comment() {
    let text = with_cuts(HEAD, "t", &BTreeMap::new(), "first\nproducts: {}").unwrap();
    assert_eq!(text, format!("{HEAD}# first products: {{}}\n"));
}

#[test]
fn the_shipped_file_takes_new_cuts_and_keeps_all_else() {
    let shipped = include_str!("../../../../../config/thresholds.yaml");
    let text = edited(shipped, &[("gear", 0.5, 0.6), ("novel", 0.25, 0.5)]);
    let kept = shipped.lines().filter(|line| !line.trim_start().starts_with("gear:"));
    assert!(kept.into_iter().all(|line| text.lines().any(|other| other == line)));
}

proptest! {
    /// Whatever the layout: the new cut-offs are in force, the old ones of others too, and no comment is lost.
    #[test]
    fn with_cuts_changes_what_it_should_and_nothing_else(
        flow in proptest::collection::vec((any::<bool>(), any::<bool>(), 0..5_u8), 0..5),
        chosen in proptest::collection::btree_map(0..7_usize, (0_u32..500, 0_u32..500), 1..4),
        indent in 1..6_usize,
        referenced in any::<bool>(),
    ) {
        let mut text = HEAD.to_owned();
        if !flow.is_empty() {
            text.push_str("products: # all\n");
        }
        for (index, (inline, comment, keys)) in flow.iter().enumerate() {
            let roi = "roi: { x: 1, y: 2, width: 3, height: 4 }";
            let keys = &["review: 0.12", "reject: 0.15", "min_area_px: 4", roi, "ignore: []"][..=usize::from(*keys)];
            let pad = " ".repeat(indent);
            let mark = if *comment { "  # here" } else { "" };
            if *inline {
                text.push_str(&format!("{pad}p{index}: {{ {} }}{mark}\n", keys.join(", ")));
            } else {
                let lines: Vec<_> = keys.iter().map(|key| format!("{pad}{pad}{key}{mark}\n")).collect();
                text.push_str(&format!("{pad}p{index}:{mark}\n{}", lines.concat()));
            }
        }
        let names: Vec<String> = chosen.keys().map(|index| format!("p{index}")).collect();
        let wanted: Vec<(&str, f32, f32)> = names
            .iter()
            .zip(chosen.values())
            .map(|(name, (a, b))| (name.as_str(), *a.min(b) as f32 / 1000.0, *a.max(b) as f32 / 1000.0))
            .collect();
        let mut cuts = cuts(&wanted);
        for cuts in cuts.values_mut().filter(|_| referenced) {
            cuts.reference.score = Spread::try_new(0.25, 0.125).ok();
        }
        let once = with_cuts(&text, "thresholds.yaml", &cuts, "note").unwrap();
        let twice = with_cuts(&once, "thresholds.yaml", &cuts, "note").unwrap();
        prop_assert_eq!(once.matches('#').count(), text.matches('#').count() + 1);
        prop_assert_eq!(twice, format!("{once}# note\n"), "what is there already stays");
    }
}

const BANK: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// The text with another bank for `gear`; its cut-offs are 0.5 and 0.6.
fn banked(text: &str, bank: BankEdit) -> String {
    let mut cuts = cuts(&[("gear", 0.5, 0.6)]);
    cuts.values_mut().for_each(|cuts| cuts.bank = bank);
    with_cuts(text, "thresholds.yaml", &cuts, "note").unwrap()
}

#[test]
fn bank_is_put_in_replaced_and_taken_out_again() {
    let old = Digest::try_from_hex(BANK).unwrap();
    let new = Digest::from_bytes([0xab; 32]);
    let rest = "  cap: { review: 0.1, reject: 0.2, bank: \"sha256:";
    let cap = format!("{rest}{}\" }} # keep\n", "7".repeat(64));
    for (without, with) in [
        (
            "  gear: { review: 0.5, reject: 0.6, min_area_px: 9 } # worn\n",
            "  gear: { review: 0.5, reject: 0.6, bank: \"BANK\", min_area_px: 9 } # worn\n",
        ),
        ("  gear: { review: 0.5, reject: 0.6 }\n", "  gear: { review: 0.5, reject: 0.6, bank: \"BANK\" }\n"),
        (
            "  gear:\n    reject: 0.6 # a\n    review: 0.5\n",
            "  gear:\n    reject: 0.6 # a\n    bank: \"BANK\"\n    review: 0.5\n",
        ),
    ] {
        let text = |lines: &str, digest: Digest| {
            format!("{HEAD}products:\n{}{cap}", lines.replace("BANK", &format!("sha256:{}", digest.hex())))
        };
        let noted = |text: String| format!("{text}# note\n");
        assert_eq!(banked(&text(without, old), BankEdit::Set(old)), noted(text(with, old)));
        assert_eq!(banked(&text(with, old), BankEdit::Set(new)), noted(text(with, new)));
        assert_eq!(banked(&text(with, old), BankEdit::Keep), noted(text(with, old)));
        assert_eq!(banked(&text(with, old), BankEdit::Remove), noted(text(without, old)));
        assert_eq!(banked(&text(without, old), BankEdit::Remove), noted(text(without, old)));
    }
    // The way people write it.
    let plain = format!("{HEAD}products:\n  gear: {{ bank: {BANK}, review: 0.5, reject: 0.6 }}\n");
    assert_eq!(
        banked(&plain, BankEdit::Remove),
        format!("{HEAD}products:\n  gear: {{ review: 0.5, reject: 0.6 }}\n# note\n")
    );
}

#[test]
fn without_product_takes_out_the_entry_and_nothing_else() {
    let gear = ProductName::try_new("gear").unwrap();
    for (entries, want) in [
        ("\n  gear: { review: 0.5, reject: 0.6 } # learnt\n  cap: { review: 0.1 }\n", "\n  cap: { review: 0.1 }\n"),
        (
            "\n  cap: {}\n  gear:\n    # mine\n    review: 0.1\n    ignore:\n      - { x: 1, y: 2, width: 3, height: 4 }\n\n# end\n",
            "\n  cap: {}\n\n# end\n",
        ),
        (" { gear: { reference: { score: [0, 1] } }, cap: {} }\n", " { cap: {} }\n"),
        (" { cap: {}, gear: { review: 0.1 } }\n", " { cap: {} }\n"),
        ("\n  gear: { review: 0.1 }\n", "\n"),
        ("\n  cap: {}\n", "\n  cap: {}\n"),
    ] {
        let edited = without_product(&format!("{HEAD}products:{entries}"), "thresholds.yaml", &gear, "note").unwrap();
        assert_eq!(edited, format!("{HEAD}products:{want}# note\n"));
    }
    let anchored = format!("{HEAD}products:\n  gear: &a {{ review: 0.1 }}\n  cap: *a\n");
    assert!(without_product(&anchored, "thresholds.yaml", &gear, "note").is_err());
}

#[test]
fn without_reference_takes_out_the_reference_and_nothing_else() {
    let gear = ProductName::try_new("gear").unwrap();
    for (entries, want) in [
        (
            "\n  gear: { review: 0.5, reject: 0.6, reference: { score: [1, 2] }, min_area_px: 9 } # a\n",
            "\n  gear: { review: 0.5, reject: 0.6, min_area_px: 9 } # a\n",
        ),
        (
            "\n  gear:\n    reference:\n      score: [1, 2]\n      brightness: [1, 2]\n    review: 0.1 # b\n",
            "\n  gear:\n    review: 0.1 # b\n",
        ),
        ("\n  gear: { review: 0.1 }\n", "\n  gear: { review: 0.1 }\n"),
        ("\n  cap: { reference: { score: [1, 2] } }\n", "\n  cap: { reference: { score: [1, 2] } }\n"),
    ] {
        let edited = without_reference(&format!("{HEAD}products:{entries}"), "thresholds.yaml", &gear).unwrap();
        assert_eq!(edited, format!("{HEAD}products:{want}"));
    }
}
