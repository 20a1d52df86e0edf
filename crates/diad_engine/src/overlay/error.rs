//! Why an overlay is not used, or not written.

use std::path::PathBuf;

use diad_core::bank::BankError;
use diad_core::join::JoinError;
use safetensors::SafeTensorError;

use crate::digest::Digest;
use crate::foundation::FoundationLoadError;

/// An overlay that is not used. Nothing of it has an effect.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// The file is not there.
    #[error("{path} is missing; learn the product again, or take `bank:` out of its thresholds", path = .path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("read {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The file is another one than the digest names: changed, or cut short.
    #[error("{path} has sha256 {got}, {want} is needed; copy it again, or learn the product again", path = .path.display())]
    Hash {
        /// The file.
        path: PathBuf,
        /// Digest that is needed.
        want: Digest,
        /// Digest of the file.
        got: Digest,
    },
    /// The file holds no overlay.
    #[error("overlay {path}; learn the product again", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<OverlayError>,
    },
    /// There are more bytes than an overlay may have.
    #[error("more than {limit} bytes; an overlay is smaller")]
    Large {
        /// Largest size that is read, in bytes.
        limit: u64,
    },
    /// The bytes are no safetensors file, or one that is cut short.
    #[error("no whole safetensors file")]
    Format(#[source] SafeTensorError),
    /// The file's metadata has no header of ours.
    #[error("its metadata has no key \"diad\"")]
    NoHeader,
    /// The header is malformed, or has a field that this format does not have.
    #[error("header")]
    Header(#[source] serde_json::Error),
    /// The header is of another format.
    #[error("header has format {0}, this program reads format 1")]
    Version(u64),
    /// A field of the header is out of range.
    #[error("header: {field} is {found}, must be {allowed}")]
    Field {
        /// Where, as a path of keys.
        field: String,
        /// What was found.
        found: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A witness has no bank.
    #[error("tensor {tensor:?} is missing")]
    NoBank {
        /// Name of the tensor.
        tensor: String,
    },
    /// There are tensors that no witness uses.
    #[error("{found} tensors, the witnesses use {wanted}")]
    Tensors {
        /// Tensors in the file.
        found: usize,
        /// Tensors that witnesses use.
        wanted: usize,
    },
    /// A tensor is no bank.
    #[error("tensor {tensor:?} is {found}, must be F16 [1 to 10000 rows, 1 to 4096 channels]")]
    Tensor {
        /// Name of the tensor.
        tensor: String,
        /// Type and shape found.
        found: String,
    },
    /// The rows of a tensor make no bank.
    #[error("tensor {tensor:?}")]
    Bank {
        /// Name of the tensor.
        tensor: String,
        /// The core's reason.
        #[source]
        source: BankError,
    },
    /// It was made with another model.
    #[error(
        "product {product} was learnt with model {made_with}, this is {model}; `diad learn --product {product}` again"
    )]
    Model {
        /// The product.
        product: String,
        /// The model that it was learnt with.
        made_with: String,
        /// The model that is loaded.
        model: String,
    },
    /// It was made for another product.
    #[error("made for product {made_for}, not for {product}; `diad learn --product {product}` makes one")]
    Product {
        /// The product in the header.
        made_for: String,
        /// The product that is judged.
        product: String,
    },
    /// A foundation that it needs is not here, or is another one.
    #[error("product {product} needs a foundation")]
    Foundation {
        /// The product.
        product: String,
        /// What is wrong with it.
        #[source]
        source: Box<FoundationLoadError>,
    },
    /// It joins DiAD in a representation latent, which the model does not have.
    #[error(
        "product {product} was learnt with a model that has a representation, this one has none; `diad learn --product {product}` again"
    )]
    NoLatent {
        /// The product.
        product: String,
    },
    /// The witnesses cannot be joined.
    #[error("join the witnesses")]
    Join(#[source] JoinError),
    /// The file cannot be written. Nothing is left behind.
    #[error("write {path}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
}
