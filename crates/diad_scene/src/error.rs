//! What can go wrong outside the renderer, which itself cannot fail.

use std::path::PathBuf;

/// Why a data set could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    /// A folder of the data set could not be made.
    #[error("create folder {}", path.display())]
    CreateFolder {
        /// The folder.
        path: PathBuf,
        /// The cause given by the system.
        #[source]
        source: std::io::Error,
    },
    /// A picture could not be encoded or stored.
    #[error("write picture {}", path.display())]
    WritePicture {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: image::ImageError,
    },
}
