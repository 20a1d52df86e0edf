//! Writes JSON Schema of every payload and an AsyncAPI document of the topics: `cargo run -p diad_publish --example schema -- DIR`.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    for (name, document) in diad_publish::wire::schema::documents() {
        std::fs::write(folder.join(name), format!("{document:#}\n"))?;
    }
    Ok(())
}
