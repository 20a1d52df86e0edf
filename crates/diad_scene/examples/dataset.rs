//! Writes a data set: `cargo run --release -p diad_scene --example dataset -- FOLDER [SEED TRAIN GOOD DEFECTIVE]`,
//! the last three per product.
#![expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]

use std::error::Error;
use std::path::Path;

use diad_scene::{DatasetSpec, write_dataset};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = args.first().ok_or("usage: dataset FOLDER [SEED TRAIN GOOD DEFECTIVE]")?;
    let number = |i: usize, default: u32| args.get(i).map_or(Ok(default), |s| s.parse());
    let spec = DatasetSpec {
        seed: args.get(1).map_or(Ok(1), |s| s.parse())?,
        train_good_per_product: number(2, 400)?,
        test_good_per_product: number(3, 25)?,
        test_defective_per_product: number(4, 30)?,
    };
    let summary = write_dataset(Path::new(folder), &spec, |p| {
        if p.written % 100 == 0 {
            println!("{}: {} of {}", p.product, p.written, p.total);
        }
    })?;
    println!("{summary:?}");
    Ok(())
}
