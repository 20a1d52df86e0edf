//! From the manifest's words to the core's values.

use std::error::Error;
use std::path::Path;

use diad_core::inspector::{Method, Posterior, Representation};
use diad_core::map::MapSettings;
use diad_core::prepare::InputSpec;
use diad_core::schedule::{Ddim, Schedule, ScheduleError, Step};
use diad_core::score::ScoreRule;
use diad_core::tensor::{Shape, Tensor};

use super::{BundleError, MANIFEST_FILE, latent_shapes};
use crate::manifest::{FileEntry, Manifest, Sampler};

/// Makes the schedule and the method of a checked manifest. `latent` is the shape of one latent.
pub(super) fn assemble(folder: &Path, manifest: &Manifest, latent: Shape) -> Result<(Schedule, Method), BundleError> {
    fn refused<E: Error + Send + Sync + 'static>(
        folder: &Path,
        section: &'static str,
    ) -> impl FnOnce(E) -> BundleError {
        let path = folder.join(MANIFEST_FILE);
        move |source| BundleError::Method { path, section, source: Box::new(source) }
    }
    let Manifest { input, map, score, .. } = manifest;
    let schedule = Schedule::scaled_linear(manifest.schedule.beta_start, manifest.schedule.beta_end)
        .map_err(refused(folder, "schedule"))?;
    let method = Method {
        input: InputSpec::try_new(input.width, input.height, input.mean, input.std)
            .map_err(refused(folder, "input"))?,
        latent_scale: manifest.latent.scale,
        posterior: match &manifest.latent.posterior_noise {
            None => Posterior::Mean,
            Some(file) => Posterior::Sample(noise(folder, file, latent)?),
        },
        ddim: ddim(&schedule, &manifest.sampler).map_err(refused(folder, "sampler"))?,
        start_noise: noise(folder, &manifest.start_noise, latent)?,
        map: MapSettings::try_new(map.layer_weights.clone(), map.blur_sigma_px, map.blur_truncate)
            .map_err(refused(folder, "map"))?,
        score: ScoreRule::try_new(score.window_px, score.times).map_err(refused(folder, "score"))?,
        representation: manifest
            .representation
            .as_ref()
            .map(|it| {
                Ok(Representation {
                    groups: it.groups.clone(),
                    ddim: ddim(&schedule, &it.sampler).map_err(refused(folder, "representation.sampler"))?,
                    start_noise: noise(folder, &it.start_noise, latent_shapes(it).latent)?,
                })
            })
            .transpose()?,
    };
    Ok((schedule, method))
}

fn ddim(schedule: &Schedule, sampler: &Sampler) -> Result<Ddim, ScheduleError> {
    let steps: Vec<Step> = sampler.steps.iter().map(|step| Step::try_new(*step)).collect::<Result<_, _>>()?;
    Ddim::try_new(schedule, Step::try_new(sampler.start)?, &steps, Step::try_new(sampler.last_previous)?)
}

/// Reads raw little-endian `f32` values of one latent.
fn noise(folder: &Path, entry: &FileEntry, latent: Shape) -> Result<Tensor, BundleError> {
    let path = folder.join(entry.file.as_path());
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(source) => return Err(BundleError::Read { path, source }),
    };
    let mut tensor = Tensor::zeros(latent);
    let want = size_of_val(tensor.data());
    if bytes.len() != want {
        return Err(BundleError::NoiseLength { path, want, got: bytes.len() });
    }
    for (index, (value, raw)) in tensor.data_mut().iter_mut().zip(bytes.chunks_exact(4)).enumerate() {
        *value = f32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
        if !value.is_finite() {
            return Err(BundleError::NoiseNonFinite { path, index, value: *value });
        }
    }
    Ok(tensor)
}
