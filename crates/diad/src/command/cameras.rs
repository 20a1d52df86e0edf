//! `diad cameras`: what could `run` open on this machine?

use std::fmt::Write;

use diad_capture::{DeviceFormat, DeviceInfo, list_devices};
use serde_json::{Value, json};

use super::CommandError;
use crate::chain::chain;
use crate::cli::CamerasArgs;
use crate::output;

/// Lists the cameras and what they offer. None is no error.
///
/// # Errors
/// [`CommandError::Output`] if the list cannot be printed.
pub fn run(args: &CamerasArgs) -> Result<(), CommandError> {
    let devices = list_devices();
    output::print(&if args.json { to_json(&devices) } else { to_text(&devices) })?;
    Ok(())
}

/// Why no picture comes from a device; none if one does.
pub(super) fn obstacle(device: &DeviceInfo) -> Option<String> {
    match &device.formats {
        Ok(formats) if formats.is_empty() => {
            Some("offers no pictures; it may be the metadata device of another camera".to_owned())
        }
        Ok(_) => None,
        Err(error) => Some(chain(error)),
    }
}

fn formats(device: &DeviceInfo) -> &[DeviceFormat] {
    device.formats.as_deref().unwrap_or_default()
}

fn to_json(devices: &[DeviceInfo]) -> String {
    let format = |format: &DeviceFormat| {
        let DeviceFormat { format, width, height, fps } = format;
        json!({ "format": format.name(), "width": width, "height": height, "fps": (*fps > 0).then_some(fps) })
    };
    let camera = |device: &DeviceInfo| {
        json!({
            "path": device.path.to_string_lossy(),
            "name": device.name,
            "formats": formats(device).iter().map(format).collect::<Vec<Value>>(),
            "error": obstacle(device),
        })
    };
    format!("{:#}\n", json!({ "cameras": devices.iter().map(camera).collect::<Vec<Value>>() }))
}

fn to_text(devices: &[DeviceInfo]) -> String {
    if devices.is_empty() {
        return "no camera: this machine has no /dev/videoN\n".to_owned();
    }
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    for device in devices {
        let _ = writeln!(text, "{}  {}", device.path.display(), device.name);
        if let Some(obstacle) = obstacle(device) {
            let _ = writeln!(text, "  {obstacle}");
        }
        for same in formats(device).chunk_by(|a, b| size(a) == size(b)) {
            let DeviceFormat { format, width, height, .. } = same[0];
            let rates: Vec<String> = same.iter().filter(|f| f.fps > 0).map(|format| format.fps.to_string()).collect();
            let size = format!("{width}x{height}");
            let rates =
                if rates.is_empty() { "no rate listed".to_owned() } else { format!("{} fps", rates.join(", ")) };
            let _ = writeln!(text, "  {:<4}  {size:<11} {rates}", format.name());
        }
    }
    text
}

/// What formats on one line of the list have in common.
const fn size(format: &DeviceFormat) -> (&'static str, u32, u32) {
    (format.format.name(), format.width, format.height)
}

#[cfg(test)]
mod tests {
    use diad_capture::{OpenError, WireFormat};

    use super::*;

    fn devices() -> Vec<DeviceInfo> {
        let format = |fps| DeviceFormat { format: WireFormat::Mjpg, width: 1280, height: 720, fps };
        let device = |number: u32, formats| DeviceInfo {
            path: format!("/dev/video{number}").into(),
            name: "Line camera".to_owned(),
            formats,
        };
        let grey = DeviceFormat { format: WireFormat::Y10, width: 640, height: 480, fps: 0 };
        vec![
            device(0, Ok(vec![format(15), format(30), grey])),
            device(1, Ok(Vec::new())),
            device(2, Err(OpenError::Held)),
        ]
    }

    #[test]
    fn text_lists_formats_by_size_and_says_what_is_wrong_with_the_others() {
        let text = to_text(&devices());
        assert!(text.starts_with("/dev/video0  Line camera\n  MJPG  1280x720    15, 30 fps\n  Y10   640x480     no rate listed\n/dev/video1"), "{text}");
        assert!(text.contains("offers no pictures"), "{text}");
        assert!(text.contains(&OpenError::Held.to_string()), "{text}");
    }

    #[test]
    fn text_without_devices_says_so() {
        assert_eq!(to_text(&[]), "no camera: this machine has no /dev/videoN\n");
    }

    #[test]
    fn json_has_an_entry_for_every_device() {
        let document: Value = serde_json::from_str(&to_json(&devices())).unwrap();
        let cameras = document["cameras"].as_array().unwrap();
        assert_eq!(cameras.len(), 3);
        assert_eq!(cameras[0]["path"], "/dev/video0");
        assert_eq!(cameras[0]["formats"][1], json!({ "format": "MJPG", "width": 1280, "height": 720, "fps": 30 }));
        assert_eq!(cameras[0]["formats"][2]["fps"], Value::Null);
        assert_eq!(cameras[0]["error"], Value::Null);
        assert_eq!(cameras[2]["formats"], json!([]));
        assert_eq!(cameras[2]["error"], OpenError::Held.to_string());
    }
}
