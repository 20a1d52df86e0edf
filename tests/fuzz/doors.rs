//! The doors through which bytes of others come in. Whatever the bytes, each ends in a value or in a clear error.

use std::time::Instant;

use diad::settings;
use diad::thresholds::ThresholdSet;
use diad_capture::{BufferPool, WireFormat, to_picture};
use diad_core::frame::Roi;
use diad_core::prepare::{InputSpec, Preparer};
use diad_core::tensor::Tensor;
use diad_engine::Manifest;
use diad_publish::wire::{ProductMessage, TriggerMessage};

/// A door and its name, which is that of its corpus.
pub type Door = (&'static str, fn(&[u8]));

/// Every door.
pub const DOORS: [Door; 5] = [
    ("settings", settings_door),
    ("thresholds", thresholds_door),
    ("messages", messages_door),
    ("manifest", manifest_door),
    ("frames", frames_door),
];

/// `diad.yaml`.
pub fn settings_door(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match settings::examine(text, "diad.yaml", &[]).settings {
        Ok(settings) => assert!(!settings.cameras().is_empty() && !settings.deadline().is_zero()),
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a reason");
            assert!(faults.iter().all(|fault| !fault.to_string().is_empty()));
        }
    }
}

/// `thresholds.yaml`.
pub fn thresholds_door(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match ThresholdSet::read(text, "thresholds.yaml") {
        Ok(set) => {
            let cuts = set.for_product(None);
            assert!(cuts.review().get() <= cuts.reject().get(), "a part could be rejected and not be reviewed");
            let mask = set.mask(None);
            let rectangles = mask.roi().into_iter().chain(mask.ignored().iter().copied());
            assert!(mask.ignored().len() <= 64 && rectangles.into_iter().all(|r| r.width > 0 && r.height > 0));
        }
        Err(faults) => assert!(!faults.is_empty(), "refused without a reason"),
    }
}

/// What the plant publishes.
pub fn messages_door(bytes: &[u8]) {
    let trigger = TriggerMessage::parse("factory/L1/S1/trigger", bytes);
    let product = ProductMessage::parse("factory/L1/S1/product", bytes);
    let told = [trigger.err().map(|unclear| unclear.to_string()), product.err().map(|error| error.to_string())];
    for told in told.into_iter().flatten() {
        assert!(told.contains("factory/L1/S1/"), "{told}");
    }
}

/// `manifest.json` of a model bundle.
pub fn manifest_door(bytes: &[u8]) {
    if let Err(error) = Manifest::parse(bytes) {
        assert!(!error.to_string().is_empty());
    }
}

/// A frame that may not be what the camera says it is: format, size and region of interest come from the first bytes.
pub fn frames_door(bytes: &[u8]) {
    let Some((&[kind, width, height, x, y, w, h], pixels)) = bytes.split_first_chunk::<7>() else { return };
    let format = WireFormat::ALL[usize::from(kind) % WireFormat::ALL.len()];
    let size = |side: u8| u32::from(side) % 70;
    let began = Instant::now();
    let Ok(picture) = to_picture(format, (size(width), size(height)), pixels, &BufferPool::new(1)) else { return };
    let view = picture.view().unwrap();
    let input = InputSpec::try_new(16, 16, [0.5; 3], [0.25; 3]).unwrap();
    let mut preparer = Preparer::try_new(input).unwrap();
    let mut tensor = Tensor::zeros([1, 3, 16, 16]);
    let roi = Roi { x: size(x), y: size(y), width: size(w), height: size(h) };
    if preparer.prepare(view, roi, &mut tensor).is_ok() {
        assert!(tensor.data().iter().all(|value| value.is_finite()));
    }
    assert!(began.elapsed().as_secs() < 10, "small pictures are quick");
}
