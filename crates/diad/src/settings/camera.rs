//! The `cameras` list.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use diad_capture::WireFormat;
use diad_core::frame::{MAX_SIDE_PX, Roi};
use diad_core::name::CameraId;
use diad_scene::Product;

use crate::yaml::{Item, Section, rectangle};

/// Most cameras of one station.
const MAX_CAMERAS: usize = 16;
/// Equal pictures in a row that a live camera may give: one that runs by itself may send a picture several times where the
/// exposure takes longer than the rate allows; where each picture is a part, none has a reason to be the one before.
const FROZEN_AFTER: u32 = 10;
const FROZEN_AFTER_PARTS: u32 = 3;
/// Defaults of a rendered camera.
const SEED: u64 = 1;
const DEFECT_RATE: f64 = 0.2;

/// One camera of the station.
#[derive(Debug, Clone, PartialEq)]
pub struct Camera {
    /// Its name; no other camera of the station has it.
    pub id: CameraId,
    /// Where pictures come from.
    pub source: Source,
    /// What makes a picture a part to be judged.
    pub trigger: Trigger,
    /// The part of the picture to look at; none is the whole picture. For a camera of known size it lies
    /// inside the picture.
    pub roi: Option<Roi>,
    /// So many pictures in a row may be the same; after that the camera is frozen. None: they may always be.
    pub frozen_after: Option<NonZeroU32>,
}

/// Where pictures come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A camera of this machine, in exactly this format.
    V4l2 {
        /// Device node, such as `/dev/video0` or a link below `/dev/v4l/by-path`.
        device: PathBuf,
        /// Picture width in pixels, 1 to 16384.
        width: u32,
        /// Picture height in pixels, 1 to 16384.
        height: u32,
        /// Pictures a second, 1 to 1000.
        fps: u32,
        /// Format on the wire; none is the first of [`WireFormat::ALL`] that the device offers.
        format: Option<WireFormat>,
    },
    /// Pictures of a folder, in the order of their names.
    Replay {
        /// The folder.
        folder: PathBuf,
        /// Begins again after the last picture.
        looped: bool,
    },
    /// Pictures that the machine draws.
    Rendered {
        /// Says which parts come.
        seed: u64,
        /// Classes of part, in the order of the line; at least one, none twice.
        products: Vec<Product>,
        /// Share of parts with a defect, 0 to 1.
        defect_rate: f64,
    },
}

/// What makes a picture a part to be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The clock.
    FreeRun {
        /// Time between two parts, 1 ms to 1 h.
        every: Duration,
    },
    /// A message on the `trigger` topic.
    Mqtt,
    /// Every picture that the source delivers.
    Camera,
}

pub(super) fn list(item: &Item<'_>) -> Option<Vec<Camera>> {
    let items = item.list()?;
    if items.is_empty() || items.len() > MAX_CAMERAS {
        return item.fault(&format!("lists {} cameras", items.len()), Some("1 to 16 cameras"));
    }
    let mut ids = Vec::new();
    let cameras: Vec<_> = items.into_iter().map(|item| camera(item, &mut ids)).collect();
    cameras.into_iter().collect()
}

fn camera(item: Item<'_>, ids: &mut Vec<CameraId>) -> Option<Camera> {
    let keys = item.mapping()?.only(&["id", "source", "trigger", "roi", "frozen_after"]);
    let id_item = keys.get("id");
    let id = id_item.parsed(CameraId::try_new, None).and_then(|id| {
        if ids.contains(&id) {
            return id_item.fault(&format!("{:?} names another camera already", id.as_str()), Some("a new name"));
        }
        ids.push(id.clone());
        Some(id)
    });
    let source = keys.get("source").mapping().and_then(source);
    let trigger = keys.get("trigger").mapping().and_then(trigger);
    let size = match &source {
        Some(Source::V4l2 { width, height, .. }) => (*width, *height),
        _ => (MAX_SIDE_PX, MAX_SIDE_PX),
    };
    let roi = keys.get("roi").nullable(|item| rectangle(item.mapping()?, size));
    let frozen_after = frozen_after(keys.get("frozen_after"), source.as_ref(), trigger);
    Some(Camera { id: id?, source: source?, trigger: trigger?, roi: roi?, frozen_after: frozen_after? })
}

/// A folder may hold a picture twice, and a part may be drawn twice: only a live camera can be frozen. `off` is written out,
/// because `null` is the default.
fn frozen_after(item: Item<'_>, source: Option<&Source>, trigger: Option<Trigger>) -> Option<Option<NonZeroU32>> {
    const OFF: &str = "off";
    if !matches!(source, Some(Source::V4l2 { .. }) | None) {
        return match item.is_set() && !item.is_text(OFF) {
            true => item.key_fault("only a live camera can be frozen", Some("off, or leave it out")),
            false => Some(None),
        };
    }
    if item.is_text(OFF) {
        item.record(OFF);
        return Some(None);
    }
    let default = if trigger == Some(Trigger::Camera) { FROZEN_AFTER_PARTS } else { FROZEN_AFTER };
    item.or(default, |item| item.whole(1..=10_000)).map(NonZeroU32::new)
}

fn source(keys: Section<'_>) -> Option<Source> {
    #[derive(Clone, Copy)]
    enum Kind {
        V4l2,
        Gige,
        Replay,
        Rendered,
    }
    let kind = keys.get("kind").choice(&[
        ("v4l2", Kind::V4l2),
        ("gige", Kind::Gige),
        ("replay", Kind::Replay),
        ("rendered", Kind::Rendered),
    ])?;
    match kind {
        Kind::V4l2 => v4l2(&keys.only(&["kind", "device", "width", "height", "fps", "format"])),
        Kind::Gige => gige(&keys.only(&["kind", "address", "serial", "width", "height", "fps"])),
        Kind::Replay => replay(&keys.only(&["kind", "folder", "looped"])),
        Kind::Rendered => rendered(&keys.only(&["kind", "seed", "products", "defect_rate"])),
    }
}

fn v4l2(keys: &Section<'_>) -> Option<Source> {
    let device = keys.get("device").file_path();
    let width = keys.get("width").whole(1..=MAX_SIDE_PX);
    let height = keys.get("height").whole(1..=MAX_SIDE_PX);
    let fps = keys.get("fps").whole(1..=1000);
    let formats = WireFormat::ALL.map(|format| (format.name(), format));
    let format = keys.get("format").nullable(|item| item.choice(&formats));
    Some(Source::V4l2 { device: device?, width: width?, height: height?, fps: fps?, format: format? })
}

/// The grammar knows GigE Vision cameras, so that the fault can say what is really missing.
fn gige(keys: &Section<'_>) -> Option<Source> {
    keys.get("kind").fault("gige cameras are not supported by this build", Some("v4l2, replay, rendered"))
}

fn replay(keys: &Section<'_>) -> Option<Source> {
    let folder = keys.get("folder").file_path();
    let looped = keys.get("looped").or(false, |item| item.flag());
    Some(Source::Replay { folder: folder?, looped: looped? })
}

fn rendered(keys: &Section<'_>) -> Option<Source> {
    let seed = keys.get("seed").or(SEED, |item| item.whole(0..=u64::from(u32::MAX)));
    let products = products(&keys.get("products"));
    let defect_rate = keys.get("defect_rate").or(DEFECT_RATE, |item| item.number(0.0..=1.0));
    Some(Source::Rendered { seed: seed?, products: products?, defect_rate: defect_rate? })
}

fn products(item: &Item<'_>) -> Option<Vec<Product>> {
    const ALL: &str = "all";
    if !item.is_set() || item.is_text(ALL) {
        item.record(ALL);
        return Some(Product::ALL.to_vec());
    }
    let products = item.choices(&Product::ALL.map(|product| (product.name(), product)))?;
    if products.is_empty() {
        item.fault("lists no product", Some("all, or a list of products"))
    } else {
        Some(products)
    }
}

fn trigger(keys: Section<'_>) -> Option<Trigger> {
    #[derive(Clone, Copy)]
    enum Kind {
        FreeRun,
        Mqtt,
        Camera,
    }
    let kind =
        keys.get("kind").choice(&[("free_run", Kind::FreeRun), ("mqtt", Kind::Mqtt), ("camera", Kind::Camera)])?;
    let keys = keys.only(match kind {
        Kind::FreeRun => &["kind", "every_ms"],
        Kind::Mqtt | Kind::Camera => &["kind"],
    });
    match kind {
        Kind::FreeRun => {
            let every_ms = keys.get("every_ms").whole(1..=3_600_000_u64)?;
            Some(Trigger::FreeRun { every: Duration::from_millis(every_ms) })
        }
        Kind::Mqtt => Some(Trigger::Mqtt),
        Kind::Camera => Some(Trigger::Camera),
    }
}
