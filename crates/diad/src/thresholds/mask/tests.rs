use diad_core::name::ProductName;

use super::*;
use crate::thresholds::ThresholdSet;
use crate::yaml::Fault;

fn read(text: &str) -> Result<ThresholdSet, Vec<String>> {
    ThresholdSet::read(text, "t.yaml").map_err(|faults| faults.iter().map(Fault::to_string).collect())
}

const fn rect(x: u32, y: u32, width: u32, height: u32) -> Roi {
    Roi { x, y, width, height }
}

#[test]
fn mask_takes_the_default_for_what_is_not_set() {
    let set = read(
        "default:\n  review: 0.3\n  reject: 0.4\n  roi: { x: 10, y: 20, width: 600, height: 400 }\n  ignore:\n    - { x: 0, y: 0, width: 9, height: 9 }\n\
         products:\n  gear: { reject: 0.5 }\n  cap: { roi: null }\n  glass: { ignore: [] }\n  wood: { roi: ~, ignore: [] }\n  \
         washer: { roi: { x: 16383, y: 0, width: 1, height: 16384 }, ignore: [{ x: 1, y: 2, width: 3, height: 4 }] }\n",
    )
    .unwrap();
    let (roi, corner) = (Some(rect(10, 20, 600, 400)), rect(0, 0, 9, 9));
    for (name, roi, ignored) in [
        ("gear", roi, vec![corner]),
        ("never seen", roi, vec![corner]),
        ("cap", None, vec![corner]),
        ("glass", roi, vec![]),
        ("wood", None, vec![]),
        ("washer", Some(rect(16_383, 0, 1, 16_384)), vec![rect(1, 2, 3, 4)]),
    ] {
        let name = name.replace(' ', "_");
        assert_eq!(set.mask(Some(&ProductName::try_new(&name).unwrap())), &Mask::new(roi, ignored), "{name}");
    }
    assert_eq!(set.mask(None), &Mask::new(roi, vec![corner]));
    assert!(read("default: { review: 0.3, reject: 0.4 }\n").unwrap().mask(None).is_everything());
}

#[test]
fn read_reports_every_fault_of_a_mask() {
    let number = |from, to| format!("allowed: a whole number from {from} to {to}");
    let (edge, side) = (number(0, 16_383), number(1, 16_384));
    let many = vec!["{ x: 0, y: 0, width: 1, height: 1 }"; 65].join(", ");
    for (mask, want) in [
        ("roi: 3", vec!["default.roi: 3 is a number, allowed: a mapping of keys to values".to_owned()]),
        (
            "roi: {}",
            ["height", "width", "x", "y"]
                .map(|key| {
                    let range = if key.len() == 1 { &edge } else { &side };
                    format!("default.roi.{key}: is missing, {range}")
                })
                .to_vec(),
        ),
        (
            "roi: { x: -1, y: 0.5, width: 0, height: 16385 }",
            vec![
                format!("default.roi.x: -1 is out of range, {edge}"),
                format!("default.roi.y: 0.5 is not allowed, {edge}"),
                format!("default.roi.width: 0 is out of range, {side}"),
                format!("default.roi.height: 16385 is out of range, {side}"),
            ],
        ),
        (
            "roi: { x: 16000, y: 0, width: 385, height: 1 }",
            vec!["default.roi: reaches to x 16385, y 1, allowed: inside the picture of 16384x16384 px".to_owned()],
        ),
        (
            "roi: { x: 4294967295, y: 0, width: 4294967296, height: 1 }",
            vec![
                format!("default.roi.x: 4294967295 is out of range, {edge}"),
                format!("default.roi.width: 4294967296 is out of range, {side}"),
            ],
        ),
        (
            "roi: { x: 0, y: 0, width: 1, height: 1, radius: 2 }",
            vec!["default.roi.radius: unknown key, allowed: x, y, width, height".to_owned()],
        ),
        (
            "ignore: { x: 0, y: 0, width: 1, height: 1 }",
            vec!["default.ignore: is a mapping, allowed: a list".to_owned()],
        ),
        ("ignore: ~", vec!["default.ignore: has no value, allowed: a list".to_owned()]),
        (&format!("ignore: [{many}]"), vec!["default.ignore: lists 65 rectangles, allowed: at most 64".to_owned()]),
        (
            "ignore: [ 5, { x: 0, y: 0, width: 1, height: 0 } ]",
            vec![
                "default.ignore[0]: 5 is a number, allowed: a mapping of keys to values".to_owned(),
                format!("default.ignore[1].height: 0 is out of range, {side}"),
            ],
        ),
    ] {
        let faults = read(&format!("default: {{ review: 0.3, reject: 0.4, {mask} }}\n")).unwrap_err();
        // The place is that of other faults.
        let faults: Vec<_> = faults.iter().map(|fault| fault.splitn(4, ':').nth(3).unwrap().trim_start()).collect();
        assert_eq!(faults, want, "{mask}");
    }
    let text = "default: { review: 0.3, reject: 0.4 }\nproducts:\n  gear:\n    ignore:\n      - { x: 0, y: 0, width: 0, height: 1 }\n";
    let want = format!("t.yaml:5:30: products.gear.ignore[0].width: 0 is out of range, {side}");
    assert_eq!(read(text).unwrap_err(), [want]);
}

#[test]
fn digest_follows_the_masks() {
    let digest = |mask: &str| read(&format!("default: {{ review: 0.3, reject: 0.4{mask} }}\n")).unwrap().digest();
    let (roi, a, b) = (
        ", roi: { x: 0, y: 0, width: 5, height: 5 }",
        "{ x: 0, y: 0, width: 5, height: 5 }",
        "{ x: 1, y: 0, width: 5, height: 5 }",
    );
    assert_eq!(digest(""), digest(", roi: ~, ignore: []"));
    assert_eq!(digest(&format!(", ignore: [{a}, {b}]")), digest(&format!(", ignore: [{b}, {a}, {b}]")));
    let all = [
        digest(""),
        digest(roi),
        digest(&format!(", ignore: [{a}]")),
        digest(&format!(", ignore: [{a}, {b}]")),
        digest(&format!("{roi}, ignore: [{b}]")),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(!all[..index].contains(one), "{index}");
    }
}
