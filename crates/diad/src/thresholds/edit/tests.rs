use proptest::prelude::*;

use super::*;

fn cuts(products: &[(&str, f32, f32)]) -> BTreeMap<ProductName, Cuts> {
    let score = |value| Score::try_new(value).unwrap();
    products
        .iter()
        .map(|(name, review, reject)| {
            (ProductName::try_new(name).unwrap(), Cuts { review: score(*review), reject: score(*reject) })
        })
        .collect()
}

fn edited(text: &str, products: &[(&str, f32, f32)]) -> String {
    with_cuts(text, "thresholds.yaml", &cuts(products), "note").unwrap()
}

const HEAD: &str = "# mine\ndefault: { review: 0.1, reject: 0.2 } # keep\n";

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
        flow in proptest::collection::vec((any::<bool>(), any::<bool>(), 0..3_u8), 0..5),
        chosen in proptest::collection::btree_map(0..7_usize, (0_u32..500, 0_u32..500), 1..4),
        indent in 1..6_usize,
    ) {
        let mut text = HEAD.to_owned();
        if !flow.is_empty() {
            text.push_str("products: # all\n");
        }
        for (index, (inline, comment, keys)) in flow.iter().enumerate() {
            let keys = &["review: 0.12", "reject: 0.15", "min_area_px: 4"][..=usize::from(*keys)];
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
        let result = edited(&text, &wanted);
        prop_assert_eq!(result.matches('#').count(), text.matches('#').count() + 1);
    }
}
