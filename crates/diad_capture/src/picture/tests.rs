use std::io::Cursor;
use std::path::PathBuf;

use image::codecs::jpeg::JpegEncoder;
use image::{
    DynamicImage, ExtendedColorType, GrayImage, ImageBuffer, ImageFormat, LumaA, Rgb, RgbImage, Rgba, RgbaImage,
};
use proptest::prelude::*;

use super::*;
use crate::ErrorKind;

const PROGRESSIVE: &[u8] = include_bytes!("fixtures/progressive.jpg");
const RESTARTS: &[u8] = include_bytes!("fixtures/subsampled_restarts.jpg");
const OPTIMISED: &[u8] = include_bytes!("fixtures/optimised_tables.jpg");
const CMYK: &[u8] = include_bytes!("fixtures/cmyk.jpg");
const PALETTE: &[u8] = include_bytes!("fixtures/palette_4_bits.png");
const ONE_BIT: &[u8] = include_bytes!("fixtures/one_bit.png");

fn scene() -> RgbImage {
    RgbImage::from_fn(37, 29, |x, y| Rgb([x as u8 * 6, y as u8 * 8, ((x * x + 3 * y * y) % 251) as u8]))
}

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn jpeg_of(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, 90);
    image.write_with_encoder(encoder).unwrap();
    bytes
}

fn grey_jpeg() -> Vec<u8> {
    let mut bytes = Vec::new();
    let levels: Vec<u8> = (0..40 * 30).map(|i: u32| (i % 211) as u8).collect();
    JpegEncoder::new(&mut bytes).encode(&levels, 40, 30, ExtendedColorType::L8).unwrap();
    bytes
}

fn decoded(bytes: &[u8]) -> Result<Picture, PictureError> {
    decode(bytes, &BufferPool::new(1))
}

fn pixels(bytes: &[u8]) -> Vec<u8> {
    decoded(bytes).unwrap().view().unwrap().data().to_vec()
}

/// The whole error line, as an operator reads it.
fn told(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Offset of the first byte behind the n-th segment with this code, counted from 0.
fn behind_segment(bytes: &[u8], code: u8, nth: usize) -> usize {
    let starts: Vec<usize> = (0..bytes.len() - 1).filter(|i| bytes[*i] == 0xFF && bytes[i + 1] == code).collect();
    let at = starts[nth];
    at + 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]))
}

#[test]
fn decode_of_whole_jpegs_gives_the_pixels_other_decoders_give() {
    let jpegs = [jpeg_of(&scene()), grey_jpeg(), PROGRESSIVE.to_vec(), RESTARTS.to_vec(), OPTIMISED.to_vec()];
    for (i, bytes) in jpegs.iter().enumerate() {
        let want = image::load_from_memory(bytes).unwrap();
        let got = decoded(bytes).unwrap();
        assert_eq!((got.width(), got.height()), (want.width(), want.height()), "{i}");
        assert_eq!(got.format(), if i == 1 { PixelFormat::Mono8 } else { PixelFormat::Rgb8 }, "{i}");
        assert_eq!(got.view().unwrap().data(), want.as_bytes(), "{i}");
    }
}

#[test]
fn decode_of_a_jpeg_cut_anywhere_is_an_error() {
    for (i, bytes) in [&jpeg_of(&scene())[..], &grey_jpeg(), PROGRESSIVE, RESTARTS, OPTIMISED].into_iter().enumerate() {
        for length in 0..bytes.len() {
            assert!(decoded(&bytes[..length]).is_err(), "jpeg {i} cut to {length} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn decode_of_a_jpeg_cut_and_closed_again_is_an_error() {
    for (i, bytes) in [&jpeg_of(&scene())[..], &grey_jpeg(), RESTARTS, OPTIMISED].into_iter().enumerate() {
        for length in 2..bytes.len() - 2 {
            let closed = [&bytes[..length], &[0xFF, 0xD9]].concat();
            assert!(decoded(&closed).is_err(), "jpeg {i} cut to {length} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn decode_of_a_progressive_jpeg_without_its_last_scans_is_an_error() {
    let scans = PROGRESSIVE.windows(2).filter(|w| w == &[0xFF, 0xDA]).count();
    for scan in 0..scans - 1 {
        let closed = [&PROGRESSIVE[..behind_segment(PROGRESSIVE, 0xDA, scan)], &[0xFF, 0xD9]].concat();
        assert!(matches!(decoded(&closed), Err(PictureError::JpegFault(JpegFault::Scans))), "after scan {scan}");
    }
}

/// A picture of about a thousand units, more like a camera's.
fn large_scene(phase: u32) -> RgbImage {
    RgbImage::from_fn(256, 256, |x, y| {
        let busy = (x * x * 7 + y * y * 13 + x * y * 3 + phase) % 97;
        Rgb([(x + busy) as u8, (y / 2 + phase) as u8, ((x + y) / 3 + busy) as u8])
    })
}

#[test]
fn decode_of_a_jpeg_with_bytes_missing_in_the_middle_is_an_error() {
    let whole = jpeg_of(&large_scene(0));
    for at in (behind_segment(&whole, 0xDA, 0)..whole.len() - 2000).step_by(whole.len() / 40) {
        let holed = [&whole[..at], &whole[at + 1500..]].concat();
        assert!(decoded(&holed).is_err(), "1500 of {} bytes missing at {at}", whole.len());
    }
}

#[test]
fn decode_of_a_new_jpeg_over_the_tail_of_an_old_one_is_an_error() {
    let (new, old) = (jpeg_of(&large_scene(0)), jpeg_of(&large_scene(50)));
    let scan = behind_segment(&new, 0xDA, 0);
    for at in (scan..new.len().min(old.len()) - 2000).step_by(new.len() / 40).skip(1) {
        let torn = [&new[..at], &old[at..]].concat();
        assert!(decoded(&torn).is_err(), "old bytes from {at} on of {}", old.len());
    }
}

#[test]
fn decode_of_a_jpeg_without_one_of_its_restart_intervals_is_an_error() {
    let marks: Vec<usize> =
        (0..RESTARTS.len() - 1).filter(|i| RESTARTS[*i] == 0xFF && matches!(RESTARTS[i + 1], 0xD0..=0xD7)).collect();
    assert!(marks.len() > 2);
    for pair in marks.windows(2) {
        let holed = [&RESTARTS[..pair[0]], &RESTARTS[pair[1]..]].concat();
        assert!(matches!(decoded(&holed), Err(PictureError::JpegFault(JpegFault::Restart { .. }))));
    }
}

#[test]
fn decode_ignores_what_follows_a_jpeg() {
    let whole = jpeg_of(&scene());
    let followed = [&whole[..], &[0; 100], RESTARTS].concat();
    assert_eq!(pixels(&followed), pixels(&whole));
}

#[test]
fn decode_takes_a_few_stray_bytes_before_the_end_and_no_more() {
    let whole = jpeg_of(&scene());
    let (body, end) = whole.split_at(whole.len() - 2);
    assert_eq!(pixels(&[body, &[0; 4], end].concat()), pixels(&whole));
    let torn = decoded(&[body, &[0; 40], end].concat()).unwrap_err();
    assert!(matches!(torn, PictureError::JpegFault(JpegFault::Surplus { bytes: 40.., .. })), "{}", told(&torn));
}

#[test]
fn decode_of_a_jpeg_without_tables_uses_the_standard_ones() {
    let whole = jpeg_of(&scene());
    let mut bare = whole.clone();
    while let Some(at) = bare.windows(2).position(|w| w == [0xFF, 0xC4]) {
        let end = behind_segment(&bare, 0xC4, 0);
        bare.drain(at..end);
    }
    assert!(bare.len() < whole.len() - 400);
    assert_eq!(pixels(&bare), pixels(&whole));
}

#[test]
fn decode_of_other_kinds_of_jpeg_says_which() {
    let mut deep = jpeg_of(&scene());
    let frame = deep.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    deep[frame + 4] = 12;
    let mut arithmetic = jpeg_of(&scene());
    arithmetic[frame + 1] = 0xC9;
    for (bytes, want) in [(CMYK, "CMYK"), (&deep[..], "more than 8 bits"), (&arithmetic[..], "arithmetic")] {
        let error = decoded(bytes).unwrap_err();
        assert!(told(&error).contains(want), "{}", told(&error));
    }
}

#[test]
fn decode_of_a_huge_picture_is_refused_by_its_header() {
    let mut jpeg = jpeg_of(&scene());
    let frame = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    let mut png = png(scene());
    for (width, height, want) in [
        (20_000_u16, 20_000_u16, "picture of 20000x20000 px; each side must be 1 to 16384 px"),
        (16_000, 16_000, "at most 67108864 px"),
        (0, 10, "picture of 0x10 px"),
    ] {
        jpeg[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
        jpeg[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
        png[16..20].copy_from_slice(&u32::from(width).to_be_bytes());
        png[20..24].copy_from_slice(&u32::from(height).to_be_bytes());
        for bytes in [&jpeg, &png] {
            let error = decoded(bytes).unwrap_err();
            assert!(told(&error).contains(want), "{}", told(&error));
        }
    }
}

#[test]
fn decode_of_a_png_gives_its_pixels() {
    assert_eq!(pixels(&png(scene())), scene().into_raw());
    let grey = GrayImage::from_fn(1, 1, |_, _| image::Luma([77]));
    let picture = decoded(&png(grey)).unwrap();
    assert_eq!((picture.format(), picture.view().unwrap().data()), (PixelFormat::Mono8, &[77][..]));
    assert_eq!(pixels(PALETTE), image::load_from_memory(PALETTE).unwrap().into_rgb8().into_raw());
    assert_eq!(pixels(ONE_BIT), image::load_from_memory(ONE_BIT).unwrap().into_luma8().into_raw());
}

#[test]
fn decode_of_a_png_cut_anywhere_is_an_error() {
    for bytes in [&png(scene())[..], PALETTE, ONE_BIT] {
        for length in 0..bytes.len() {
            assert!(decoded(&bytes[..length]).is_err(), "cut to {length} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn decode_of_a_png_with_a_flipped_bit_in_its_pixels_is_an_error() {
    let whole = png(scene());
    let data = whole.windows(4).position(|w| w == b"IDAT").unwrap() + 4;
    for at in data..whole.len() - 16 {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        assert!(decoded(&flipped).is_err(), "bit flipped in byte {at}");
    }
}

#[test]
fn decode_of_16_bits_rounds_to_the_nearest_of_256_levels() {
    let levels: Vec<u16> = vec![0, 128, 129, 256, 257, 385, 386, 32_767, 32_768, 65_406, 65_407, 65_535];
    let want: Vec<u8> = levels.iter().map(|v| (f64::from(*v) * 255.0 / 65_535.0).round() as u8).collect();
    let grey = ImageBuffer::from_raw(12, 1, levels.clone()).unwrap();
    assert_eq!(pixels(&png(DynamicImage::ImageLuma16(grey))), want);
    let colour = ImageBuffer::from_raw(4, 1, levels).unwrap();
    assert_eq!(pixels(&png(DynamicImage::ImageRgb16(colour))), want);
}

#[test]
fn decode_drops_alpha_only_where_every_pixel_is_opaque() {
    let opaque = RgbaImage::from_fn(5, 3, |x, y| Rgba([x as u8, y as u8, 9, 255]));
    let want: Vec<u8> = opaque.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2]]).collect();
    assert_eq!(pixels(&png(opaque.clone())), want);
    let mut clear = opaque;
    clear.get_pixel_mut(4, 2).0[3] = 254;
    assert!(matches!(decoded(&png(clear)), Err(PictureError::SeeThrough)));

    let wide = |alpha| ImageBuffer::from_pixel(2, 2, LumaA([257_u16 * 9, alpha]));
    assert_eq!(pixels(&png(DynamicImage::ImageLumaA16(wide(65_535)))), [9; 4]);
    assert!(matches!(decoded(&png(DynamicImage::ImageLumaA16(wide(65_534)))), Err(PictureError::SeeThrough)));
}

#[test]
fn read_image_of_a_bad_file_names_it_and_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        folder.path().join(name)
    };
    let jpeg = jpeg_of(&scene());
    for (path, want) in [
        (write("empty.png", b""), "empty"),
        (write("text.png", b"not a picture at all"), "neither PNG nor JPEG"),
        (write("cut.jpg", &jpeg[..jpeg.len() / 2]), "truncated"),
        (write("cut.png", &png(scene())[..20]), "truncated"),
        (folder.path().join("missing.png"), "No such file"),
        (folder.path().to_owned(), "not a regular file"),
        (PathBuf::from("/dev/zero"), "not a regular file"),
    ] {
        let error = read_image(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Frame);
        let line = told(&error);
        assert!(line.contains(&*path.to_string_lossy()) && line.contains(want), "{line}");
    }
    let wrong_name = write("really_a_png.jpg", &png(scene()));
    assert_eq!(read_image(&wrong_name).unwrap().view().unwrap().data(), &scene().into_raw());
}

proptest! {
    #[test]
    fn decode_of_damaged_pictures_never_panics(which in 0_usize..6, at in 0.0_f64..1.0, byte: u8, drop in 0_usize..4) {
        let whole = [PROGRESSIVE, RESTARTS, OPTIMISED, CMYK, PALETTE, ONE_BIT][which];
        let mut bytes = whole.to_vec();
        let at = (at * (bytes.len() - 8) as f64) as usize;
        bytes[at] = byte;
        bytes.drain(at + 1..at + 1 + drop);
        if let Ok(picture) = decoded(&bytes) {
            prop_assert!(picture.view().is_ok());
        }
    }

    #[test]
    fn decode_of_noise_never_panics(noise: Vec<u8>, jpeg: bool) {
        let start: &[u8] = if jpeg { &jpeg::START } else { &png::START };
        prop_assert!(decoded(&[start, &noise].concat()).is_err());
    }
}

/// The same PNG with another chunk before its pixels.
fn with_chunk(png: &[u8], name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    // Behind the signature and the header with its length, name and checksum.
    let (head, rest) = png.split_at(8 + 25);
    let named = [&name[..], body].concat();
    let mut crc = u32::MAX;
    for byte in &named {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [head, &length, &named, &(!crc).to_be_bytes(), rest].concat()
}

/// A grey picture whose values go from 0 to `largest` in 16 bits.
fn grey_16(largest: u16) -> ImageBuffer<image::Luma<u16>, Vec<u16>> {
    ImageBuffer::from_fn(16, 16, |x, y| image::Luma([((y * 16 + x) * u32::from(largest) / 255) as u16]))
}

#[test]
fn decode_of_fewer_bits_in_16_heeds_what_the_file_says_of_them() {
    let eight: Vec<u8> = (0..=255).collect();
    for (bits, step) in [(10_u8, 4), (12, 16), (14, 64)] {
        let narrow = grey_16(255 * step);
        let told = with_chunk(&png(narrow.clone()), b"sBIT", &[bits]);
        assert_eq!(pixels(&told), eight, "{bits} bits");
        assert_eq!(decoded(&told).unwrap().remarks(), Remarks::default(), "{bits} bits");
        let colour = ImageBuffer::from_fn(16, 16, |x, y| Rgb([narrow.get_pixel(x, y).0[0]; 3]));
        let colour = with_chunk(&png(colour), b"sBIT", &[bits; 3]);
        assert!(pixels(&colour).chunks(3).map(|pixel| pixel[1]).eq(eight.iter().copied()), "{bits} bits, colour");
    }
}

#[test]
fn decode_of_scaled_values_stays_as_it_is_whatever_bits_they_had() {
    let whole = png(grey_16(u16::MAX));
    let eight: Vec<u8> = (0..=255).collect();
    assert_eq!(pixels(&whole), eight);
    for bits in [1, 8, 12, 16, 0, 99] {
        let told = with_chunk(&whole, b"sBIT", &[bits]);
        assert_eq!((pixels(&told), decoded(&told).unwrap().remarks()), (eight.clone(), Remarks::default()), "{bits}");
    }
}

#[test]
fn decode_of_fewer_bits_in_16_that_the_file_does_not_tell_of_is_remarked_on() {
    for (largest, want) in [(255, Some(8)), (1023, Some(10)), (4080, Some(12)), (16_383, Some(14)), (16_384, None)] {
        let picture = decoded(&png(grey_16(largest))).unwrap();
        assert_eq!(picture.remarks(), Remarks { orientation: None, narrow_bits: want }, "{largest}");
    }
    let dark = png(GrayImage::from_pixel(4, 4, image::Luma([3])));
    assert_eq!(decoded(&dark).unwrap().remarks(), Remarks::default(), "8 bits are 8 bits");
}

#[test]
fn decode_of_a_turned_picture_says_so_and_leaves_it_as_it_is() {
    let upright = jpeg_of(&scene());
    for (little, value) in [(true, 1), (true, 3), (false, 6), (false, 8)] {
        let tags = exif::tests::tags(little, value);
        let body = [&b"Exif\0\0"[..], &tags].concat();
        let length = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
        let turned = [&upright[..2], &[0xFF, 0xE1], &length, &body, &upright[2..]].concat();
        let want = Remarks { orientation: (value != 1).then_some(value), narrow_bits: None };
        assert_eq!((decoded(&turned).unwrap().remarks(), pixels(&turned)), (want, pixels(&upright)), "JPEG {value}");
        let turned = with_chunk(&png(scene()), b"eXIf", &tags);
        assert_eq!(
            (decoded(&turned).unwrap().remarks(), pixels(&turned)),
            (want, pixels(&png(scene()))),
            "PNG {value}"
        );
    }
    assert_eq!(decoded(&upright).unwrap().remarks(), Remarks::default());
}

/// Pictures whose parts do not agree, and why each is refused; the tests of the trainer read the same files.
#[test]
fn decode_of_a_picture_that_contradicts_itself_is_refused_with_the_reason() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/picture/fixtures/contradictions");
    let table: std::collections::BTreeMap<String, String> =
        serde_json::from_slice(&std::fs::read(folder.join("table.json")).unwrap()).unwrap();
    assert!(table.len() > 20, "{table:?}");
    for (name, why) in table {
        match decoded(&std::fs::read(folder.join(&name)).unwrap()) {
            Ok(_) => assert_eq!(why, "", "{name} is judged"),
            Err(error) => assert!(!why.is_empty() && told(&error).contains(&why), "{name}: {error:?}"),
        }
    }
}

#[test]
fn decode_of_an_interlaced_picture_puts_every_pixel_in_its_place() {
    for bytes in [
        &include_bytes!("fixtures/contradictions/interlaced_8_bits.png")[..],
        include_bytes!("fixtures/contradictions/interlaced_16_bits.png"),
    ] {
        let picture = decoded(bytes).unwrap();
        let step = picture.format().bytes_per_pixel();
        let upper: Vec<u8> = picture.view().unwrap().data().iter().copied().step_by(step).collect();
        let want: Vec<u8> = (0..16_u32).flat_map(|y| (0..24_u32).map(move |x| ((x + 16 * y) & 0xFF) as u8)).collect();
        assert_eq!(upper, want);
    }
}

/// Bytes that decoding takes at most at a time, beside the file.
fn most_bytes(file: &[u8]) -> (u64, Result<Picture, PictureError>) {
    let mut result = None;
    let info = allocation_counter::measure(|| result = Some(decode(file, &BufferPool::new(0))));
    (info.bytes_max, result.unwrap())
}

/// A PNG of these chunks; `data` is deflated.
fn png_of(width: u32, height: u32, depth: u8, colour: u8, more: &[(&[u8; 4], Vec<u8>)], data: &[u8]) -> Vec<u8> {
    let mut deflated = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut deflated, data).unwrap();
    let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat();
    let mut bytes = png::START.to_vec();
    let mut chunk = |name: &[u8; 4], body: &[u8]| {
        let named = [&name[..], body].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&named);
        bytes.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(named);
        bytes.extend(crc.sum().to_be_bytes());
    };
    chunk(b"IHDR", &head);
    more.iter().for_each(|(name, body)| chunk(name, body));
    chunk(b"IDAT", &deflated.finish().unwrap());
    chunk(b"IEND", &[]);
    bytes
}

/// What is refused costs next to nothing, whatever its header or its profile promise.
#[test]
fn decode_of_a_hostile_png_takes_no_memory_before_it_is_refused() {
    const LIMIT_BYTES: u64 = 1 << 20;
    let short = vec![0; 1 << 20];
    let bomb = vec![0; 64 << 20];
    for (name, file) in [
        ("16 bits, 16384x4096 px, a few rows", png_of(16_384, 4096, 16, 2, &[], &short)),
        ("8 bits, 16384x4096 px, a few rows", png_of(16_384, 4096, 8, 6, &[], &short)),
        ("more data than pixels", png_of(1, 1, 8, 0, &[], &bomb)),
    ] {
        let (bytes, result) = most_bytes(&file);
        assert!(matches!(result, Err(PictureError::PngFault(_))), "{name}: {result:?}");
        assert!(bytes < LIMIT_BYTES, "{name}: {bytes} bytes");
    }
}

/// What is judged costs its pixels and a few rows: not what a profile is inflated to, and not a second copy of 16 bits.
#[test]
fn decode_of_a_png_takes_little_more_than_its_pixels() {
    const LIMIT_BYTES: u64 = 2 << 20;
    let deflate = |bytes: usize| {
        let mut deflated = flate2::write::ZlibEncoder::new(b"a\0\0".to_vec(), flate2::Compression::best());
        std::io::Write::write_all(&mut deflated, &vec![0; bytes]).unwrap();
        deflated.finish().unwrap()
    };
    let profile = deflate(64 << 20);
    let text = [&b"a\0"[..], &vec![b'x'; 4 << 20]].concat();
    let (wide, high) = (1024, 512);
    let data = |row_bytes: usize| vec![0; (1 + row_bytes) * high as usize];
    for (name, pixels, file) in [
        ("profile", 1, png_of(1, 1, 8, 0, &[(b"iCCP", profile)], &[0, 7])),
        ("text", 1, png_of(1, 1, 8, 0, &[(b"tEXt", text)], &[0, 7])),
        ("16 bits grey", wide * high, png_of(wide, high, 16, 0, &[], &data(2 * wide as usize))),
        ("16 bits colour", 3 * wide * high, png_of(wide, high, 16, 2, &[], &data(6 * wide as usize))),
        ("8 bits colour", 3 * wide * high, png_of(wide, high, 8, 2, &[], &data(3 * wide as usize))),
    ] {
        let (bytes, result) = most_bytes(&file);
        assert!(result.is_ok(), "{name}: {result:?}");
        assert!(bytes < u64::from(pixels) + LIMIT_BYTES, "{name}: {bytes} bytes for {pixels}");
    }
}
