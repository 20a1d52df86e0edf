//! Overlays: what a product adds to a model. Banks of its good patches, and how the witnesses are joined.
//!
//! An overlay is one safetensors file. Its `__metadata__` holds, under the key `diad`, the [`OverlayHeader`] as JSON text;
//! each bank is a tensor `bank:<foundation>`, F16 `[rows, channels]`. Nothing of a file is believed: its size is bounded
//! before it is read, and every number is checked.

mod error;
mod header;

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use diad_core::bank::{Bank, MAX_CHANNELS, MAX_ROWS};
use diad_core::foundation::Foundation;
use diad_core::join::{Joined, Share, Witness, WitnessKind, bank_name};
use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

pub use self::error::OverlayError;
pub use self::header::{JoinEntry, OverlayHeader};
use crate::digest::Digest;
use crate::foundation::Foundations;

/// Largest overlay that is read or written, in bytes: three banks of full size.
pub const MAX_OVERLAY_BYTES: u64 = 64 << 20;

/// Last part of an overlay's file name.
pub const OVERLAY_EXTENSION: &str = "safetensors";

/// Key of the header in the file's metadata.
const KEY: &str = "diad";

/// An overlay that has been read and checked, for itself. Whether it fits a model, [`Overlay::expect_model`] says.
#[derive(Debug, Clone)]
pub struct Overlay {
    header: OverlayHeader,
    digest: Digest,
    /// By foundation.
    banks: Vec<(String, Arc<Bank>)>,
}

impl Overlay {
    /// Reads a file and checks it. With a digest only that very file is taken.
    ///
    /// # Errors
    /// [`OverlayError`]; each says what to do.
    pub fn open(path: &Path, want: Option<Digest>) -> Result<Self, OverlayError> {
        let bytes = read(path)?;
        let got = Digest::of(&bytes);
        if let Some(want) = want.filter(|want| *want != got) {
            return Err(OverlayError::Hash { path: path.to_owned(), want, got });
        }
        Self::parse(&bytes).map_err(|source| OverlayError::File { path: path.to_owned(), source: Box::new(source) })
    }

    /// Checks the bytes of a file.
    ///
    /// # Errors
    /// [`OverlayError`], without the file's name.
    pub fn parse(bytes: &[u8]) -> Result<Self, OverlayError> {
        if bytes.len() as u64 > MAX_OVERLAY_BYTES {
            return Err(OverlayError::Large { limit: MAX_OVERLAY_BYTES });
        }
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(OverlayError::Format)?;
        let text = metadata.metadata().as_ref().and_then(|texts| texts.get(KEY)).ok_or(OverlayError::NoHeader)?;
        let header = OverlayHeader::parse(text)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(OverlayError::Format)?;
        let mut banks = Vec::new();
        for entry in &header.join {
            if let Some(foundation) = entry.foundation() {
                let tensor = tensors.tensor(&entry.witness);
                let tensor = tensor.map_err(|_| OverlayError::NoBank { tensor: entry.witness.clone() })?;
                banks.push((foundation.to_owned(), Arc::new(bank(&entry.witness, &tensor)?)));
            }
        }
        if tensors.len() > banks.len() {
            return Err(OverlayError::Tensors { found: tensors.len(), wanted: banks.len() });
        }
        Ok(Self { header, digest: Digest::of(bytes), banks })
    }

    /// Makes the bytes of a file. The same header and banks give the same bytes.
    ///
    /// # Errors
    /// [`OverlayError`] if header and banks do not make an overlay that [`parse`](Self::parse) takes.
    pub fn encode(header: &OverlayHeader, banks: &[(&str, &Bank)]) -> Result<Vec<u8>, OverlayError> {
        let text = serde_json::to_string(header).map_err(OverlayError::Header)?;
        let half = |bank: &Bank| bank.rows().iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect::<Vec<u8>>();
        let data: Vec<Vec<u8>> = banks.iter().map(|(_, bank)| half(bank)).collect();
        let tensors = banks.iter().zip(&data).map(|((foundation, bank), data)| {
            Ok((bank_name(foundation), TensorView::new(Dtype::F16, vec![bank.len(), bank.channels()], data)?))
        });
        let tensors = tensors.collect::<Result<Vec<_>, _>>().map_err(OverlayError::Format)?;
        let metadata = [(KEY.to_owned(), text)].into();
        let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(OverlayError::Format)?;
        Self::parse(&bytes)?;
        Ok(bytes)
    }

    /// Writes an overlay into `folder` (made if missing), named by its digest. The file is on the disk before it has its
    /// name; if writing fails, nothing is left behind.
    ///
    /// # Errors
    /// [`OverlayError::Write`]; those of [`encode`](Self::encode).
    pub fn write(
        folder: &Path,
        header: &OverlayHeader,
        banks: &[(&str, &Bank)],
    ) -> Result<(Digest, PathBuf), OverlayError> {
        let bytes = Self::encode(header, banks)?;
        let digest = Digest::of(&bytes);
        let path = folder.join(format!("{digest}.{OVERLAY_EXTENSION}"));
        let draft = folder.join(format!(".{digest}.{}.part", std::process::id()));
        let kept = fs::create_dir_all(folder).and_then(|()| put(&bytes, &draft, &path, folder));
        match kept {
            Ok(()) => Ok((digest, path)),
            Err(source) => {
                // The error that counts is the first one.
                let _ = fs::remove_file(&draft);
                Err(OverlayError::Write { path, source })
            }
        }
    }

    /// What it says of itself.
    #[must_use]
    pub const fn header(&self) -> &OverlayHeader {
        &self.header
    }

    /// Digest of the whole file: its name for ever.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Its bank of this foundation's patches.
    #[must_use]
    pub fn bank(&self, foundation: &str) -> Option<&Arc<Bank>> {
        self.banks.iter().find(|(name, _)| name == foundation).map(|(_, bank)| bank)
    }

    /// Refuses an overlay that was made with another model than `model` (`sha256:…`): its scale is that of other maps. One
    /// that lies inside a bundle names no model and fits that bundle.
    ///
    /// # Errors
    /// [`OverlayError::Model`].
    pub fn expect_model(&self, model: &str) -> Result<(), OverlayError> {
        match &self.header.model {
            Some(made_with) if made_with != model => Err(OverlayError::Model {
                product: self.header.product.clone(),
                made_with: made_with.clone(),
                model: model.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses an overlay of another product.
    ///
    /// # Errors
    /// [`OverlayError::Product`].
    pub fn expect_product(&self, product: &str) -> Result<(), OverlayError> {
        if self.header.product == product {
            return Ok(());
        }
        Err(OverlayError::Product { made_for: self.header.product.clone(), product: product.to_owned() })
    }

    /// The witnesses, ready to judge. Loads the foundations that they need; `latent` is the one of the model's
    /// representation, if it has one.
    ///
    /// # Errors
    /// [`OverlayError::Foundation`], [`OverlayError::NoLatent`] and [`OverlayError::Join`].
    pub fn joined(
        &self,
        foundations: &Foundations,
        latent: Option<&Arc<dyn Foundation>>,
    ) -> Result<Joined, OverlayError> {
        let product = || self.header.product.clone();
        let witness = |entry: &JoinEntry| {
            let kind = match (entry.witness.as_str(), entry.foundation()) {
                (_, Some(name)) => {
                    let mark = self.header.foundations.iter().find(|mark| mark.name == name);
                    let bank = self.bank(name);
                    let (Some(mark), Some(bank)) = (mark, bank) else {
                        return Err(OverlayError::NoBank { tensor: entry.witness.clone() });
                    };
                    let foundation = foundations.load_exact(name, mark.sha256);
                    let foundation = foundation
                        .map_err(|source| OverlayError::Foundation { product: product(), source: Box::new(source) })?;
                    WitnessKind::Bank { foundation, bank: Arc::clone(bank) }
                }
                ("latent", None) => {
                    let foundation = latent.ok_or_else(|| OverlayError::NoLatent { product: product() })?;
                    WitnessKind::Latent { foundation: Arc::clone(foundation) }
                }
                _ => WitnessKind::Diad,
            };
            let share = Share::try_new(entry.weight, entry.mean, entry.sd).map_err(OverlayError::Join)?;
            Ok(Witness::new(kind, share))
        };
        let witnesses = self.header.join.iter().map(witness).collect::<Result<_, _>>()?;
        Joined::try_new(witnesses).map_err(OverlayError::Join)
    }
}

/// Writes beside its place, makes sure that it is on the disk, and puts it in place.
fn put(bytes: &[u8], draft: &Path, path: &Path, folder: &Path) -> std::io::Result<()> {
    let mut file = File::create(draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(draft, path)?;
    File::open(folder)?.sync_all()
}

fn read(path: &Path) -> Result<Vec<u8>, OverlayError> {
    let unread = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound => OverlayError::Missing { path: path.to_owned() },
        _ => OverlayError::Read { path: path.to_owned(), source },
    };
    let file = File::open(path).map_err(unread)?;
    let mut bytes = Vec::new();
    file.take(MAX_OVERLAY_BYTES + 1).read_to_end(&mut bytes).map_err(unread)?;
    Ok(bytes)
}

/// Takes a bank out of the file.
fn bank(name: &str, tensor: &TensorView<'_>) -> Result<Bank, OverlayError> {
    let found = || format!("{:?} {:?}", tensor.dtype(), tensor.shape());
    let &[rows, channels] = tensor.shape() else {
        return Err(OverlayError::Tensor { tensor: name.to_owned(), found: found() });
    };
    if tensor.dtype() != Dtype::F16 || !(1..=MAX_ROWS).contains(&rows) || !(1..=MAX_CHANNELS).contains(&channels) {
        return Err(OverlayError::Tensor { tensor: name.to_owned(), found: found() });
    }
    let value = |raw: &[u8]| f16::from_le_bytes([raw[0], raw[1]]).to_f32();
    let values = tensor.data().chunks_exact(2).map(value).collect();
    Bank::try_new(values, channels).map_err(|source| OverlayError::Bank { tensor: name.to_owned(), source })
}
