//! Contact sheets: `cargo run --release -p diad_scene --example sheet -- FOLDER [SEED]` writes one PNG per product.
//! First row good parts; then per kind of defect a row of parts, each beside its mask. Prints times per picture.
#![expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use diad_scene::{Defect, IMAGE_SIDE_PX, PartSpec, Product, render, render_sound};
use image::{DynamicImage, RgbImage, imageops};

const COLUMNS: u32 = 6;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| "sheets".to_owned());
    let seed: u64 = args.next().map_or(Ok(1), |s| s.parse())?;
    std::fs::create_dir_all(&folder)?;
    for product in Product::ALL {
        sheet(product, seed, Path::new(&folder))?;
    }
    Ok(())
}

fn sheet(product: Product, seed: u64, folder: &Path) -> Result<(), Box<dyn Error>> {
    let side = IMAGE_SIDE_PX;
    let kinds = product.defects();
    let rows = 1 + u32::try_from(kinds.len())?;
    let mut sheet = RgbImage::new(side * COLUMNS, side * rows);
    let started = Instant::now();
    for column in 0..COLUMNS {
        let part = render(&PartSpec { product, seed: seed * 1000 + u64::from(column), defect: None });
        imageops::replace(&mut sheet, &part.image, i64::from(column * side), 0);
    }
    println!("{product}: good part {:.1} ms", started.elapsed().as_secs_f64() * 1e3 / f64::from(COLUMNS));
    for (row, defect) in (1_u32..).zip(kinds) {
        defect_row(&mut sheet, row, product, *defect, seed)?;
    }
    sheet.save(folder.join(format!("{product}.png")))?;
    Ok(())
}

fn defect_row(
    sheet: &mut RgbImage,
    row: u32,
    product: Product,
    defect: Defect,
    seed: u64,
) -> Result<(), Box<dyn Error>> {
    let side = i64::from(IMAGE_SIDE_PX);
    for pair in 0..COLUMNS / 2 {
        let spec = PartSpec { product, seed: seed * 1000 + u64::from(row * 50 + pair), defect: Some(defect) };
        let started = Instant::now();
        let part = render(&spec);
        let millis = started.elapsed().as_secs_f64() * 1e3;
        let area = part.mask.as_raw().iter().filter(|m| **m > 0).count();
        let sound = render_sound(&spec);
        let mut sum = 0_u64;
        for (x, y, m) in part.mask.enumerate_pixels() {
            if m[0] > 0 {
                let (a, b) = (part.image.get_pixel(x, y), sound.get_pixel(x, y));
                sum += a.0.iter().zip(b.0).map(|(p, q)| u64::from(p.abs_diff(q))).sum::<u64>();
            }
        }
        let levels = f64::from(u32::try_from(sum)?) / f64::from(u32::try_from(3 * area.max(1))?);
        println!("  {defect}: {millis:.1} ms, area {area} px, {levels:.1} levels inside");
        let mask = DynamicImage::ImageLuma8(part.mask).to_rgb8();
        let x = i64::from(pair) * 2 * side;
        imageops::replace(sheet, &part.image, x, i64::from(row) * side);
        imageops::replace(sheet, &mask, x + side, i64::from(row) * side);
    }
    Ok(())
}
