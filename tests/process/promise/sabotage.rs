//! Networks that fail for some pictures: nodes appended to a graph of the fixture bundle.
//!
//! A message of protocol buffers may be written in pieces: what is appended to a file is merged into it. So a few nodes
//! and constants can be put behind a graph without reading it.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::station::micro;

/// What the networks do, to a picture that is brighter than [`LIMIT`] anywhere unless it says otherwise.
#[derive(Debug, Clone, Copy)]
pub enum Failure {
    /// The encoder gives a number that is none.
    NaN,
    /// The encoder ends with an error of the runtime.
    Error,
    /// The encoder takes hundreds of milliseconds, for every picture.
    Slow,
}

/// In the model's input, where mid-grey is 0 and white is 1.
const LIMIT: f32 = 0.5;

/// Sides of the matrices: 31 billion operations.
const SIDE: i64 = 2500;

/// A grey that the networks bear, and one that they do not.
pub const SOUND: u8 = 128;
pub const DEADLY: u8 = 255;

/// A copy of the fixture bundle whose encoder fails.
pub fn bundle(failure: Failure) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(micro()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let path = folder.path().join("encoder.onnx");
    let whole = fs::read(&path).unwrap();
    let mut broken = whole.clone();
    // The last node gives another name, which the appended ones take up.
    let output = b"\x12\x07moments";
    let at = broken.windows(output.len()).position(|window| window == output).unwrap();
    broken[at + 2..at + output.len()].copy_from_slice(b"healthy");
    broken.extend(field(7, &poison(failure)));
    fs::write(&path, &broken).unwrap();
    rename_digest(folder.path(), &whole, &broken);
    folder
}

fn rename_digest(folder: &Path, whole: &[u8], broken: &[u8]) {
    let hex = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let path = folder.join("manifest.json");
    let manifest = fs::read_to_string(&path).unwrap();
    assert!(manifest.contains(&hex(whole)));
    fs::write(path, manifest.replace(&hex(whole), &hex(broken))).unwrap();
}

fn poison(failure: Failure) -> Vec<u8> {
    let brightest = node("ReduceMax", &["image"], "brightest", None);
    let limit = constant("limit", &LIMIT.to_le_bytes(), 1);
    let nodes = match failure {
        // 0 × √(limit − brightest) is 0, or it is no number.
        Failure::NaN => vec![
            node("Sub", &["limit", "brightest"], "room", None),
            node("Sqrt", &["room"], "root", None),
            constant("nothing", &0_f32.to_le_bytes(), 1),
            node("Mul", &["root", "nothing"], "poison", None),
        ],
        // The second entry of a table that has one.
        Failure::Error => vec![
            node("Greater", &["brightest", "limit"], "deadly", None),
            node("Cast", &["deadly"], "entry", Some(("to", 7))),
            tensor("table", &[1], &0_f32.to_le_bytes(), 1),
            node("Gather", &["table", "entry"], "poison", None),
        ],
        // The product of two large matrices that hang on the picture, so that nobody can take it beforehand.
        Failure::Slow => vec![
            int64s("sides", &[SIDE, SIDE]),
            node("ConstantOfShape", &["sides"], "blank", None),
            node("Squeeze", &["brightest"], "shade", None),
            node("Add", &["blank", "shade"], "large", None),
            node("MatMul", &["large", "large"], "product", None),
            node("ReduceMax", &["product"], "largest", None),
            constant("nothing", &0_f32.to_le_bytes(), 1),
            node("Mul", &["largest", "nothing"], "wide", None),
            node("Squeeze", &["wide"], "poison", None),
        ],
    };
    let join = node("Add", &["healthy", "poison"], "moments", None);
    [brightest, limit].into_iter().chain(nodes).chain([join]).flatten().collect()
}

/// A field with a length: a text or a message.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut rest = bytes.len();
    while rest >= 0x80 {
        field.push((rest as u8) | 0x80);
        rest >>= 7;
    }
    field.push(rest as u8);
    field.extend(bytes);
    field
}

/// A small number.
fn number(field: u8, value: u8) -> [u8; 2] {
    [field << 3, value]
}

fn node(kind: &str, inputs: &[&str], output: &str, attribute: Option<(&str, u8)>) -> Vec<u8> {
    let mut node: Vec<u8> = inputs.iter().flat_map(|input| field(1, input.as_bytes())).collect();
    node.extend(field(2, output.as_bytes()));
    node.extend(field(4, kind.as_bytes()));
    if let Some((name, value)) = attribute {
        let mut attribute = field(1, name.as_bytes());
        attribute.extend(number(3, value));
        // Field 20, kind 2: a whole number.
        attribute.extend([0xa0, 0x01, 2]);
        node.extend(field(5, &attribute));
    }
    field(1, &node)
}

fn constant(name: &str, bytes: &[u8], kind: u8) -> Vec<u8> {
    tensor(name, &[], bytes, kind)
}

fn int64s(name: &str, values: &[i64]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, &[values.len() as u8], &bytes, 7)
}

fn tensor(name: &str, shape: &[u8], bytes: &[u8], kind: u8) -> Vec<u8> {
    let mut tensor: Vec<u8> = shape.iter().flat_map(|side| number(1, *side)).collect();
    tensor.extend(number(2, kind));
    tensor.extend(field(8, name.as_bytes()));
    tensor.extend(field(9, bytes));
    field(5, &tensor)
}
