//! How each camera of the settings is opened, and opened again.

use std::sync::Arc;
use std::time::Duration;

use diad_capture::{
    BufferPool, Camera, CaptureError, FrozenWatch, RenderedCamera, RenderedSettings, Replay, ReplayCamera, V4l2Camera,
    V4l2Settings,
};
use diad_core::frame::Roi;
use diad_core::name::CameraId;

use crate::settings::{self, Source, Trigger};

/// Buffers of one camera: those on the line, one being filled, one being looked at.
const BUFFERS_PER_CAMERA: usize = super::FRAME_LANE_CAPACITY + 2;

/// A live camera that gives no picture for this long is taken for dead and opened again.
const STALLED_AFTER: Duration = Duration::from_secs(2);

/// What happens when parts come faster than they are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overload {
    /// The next picture is taken when there is room: it lies in a folder or is drawn on demand, and no clock and no
    /// message asks for it.
    Wait,
    /// The belt does not stop: the oldest waiting part leaves as `UNJUDGED(overrun)`.
    EvictOldest,
}

/// Opens a camera; called again after it was lost.
pub(super) type Open = Box<dyn FnMut() -> Result<Box<dyn Camera>, CaptureError> + Send>;

/// One camera of the line.
pub struct CameraSpec {
    pub(super) id: CameraId,
    pub(super) trigger: Trigger,
    pub(super) roi: Option<Roi>,
    pub(super) overload: Overload,
    pub(super) open: Open,
    names_products: bool,
}

impl CameraSpec {
    /// A camera of the caller's making, opened as often as it is lost.
    pub fn new(
        id: CameraId,
        trigger: Trigger,
        overload: Overload,
        open: impl FnMut() -> Result<Box<dyn Camera>, CaptureError> + Send + 'static,
    ) -> Self {
        Self { id, trigger, roi: None, overload, open: Box::new(open), names_products: false }
    }

    /// The camera that the settings describe. Opens nothing yet.
    #[must_use]
    pub fn from_settings(camera: &settings::Camera) -> Self {
        let pool = BufferPool::new(BUFFERS_PER_CAMERA);
        let names_products = matches!(camera.source, Source::Rendered { .. }) && camera.trigger == Trigger::Camera;
        let (on_demand, open): (bool, Open) = match camera.source.clone() {
            Source::V4l2 { device, width, height, fps, format } => {
                let stalled_after = (camera.trigger != Trigger::Camera).then_some(STALLED_AFTER);
                let settings = V4l2Settings { device, width, height, fps, format, stalled_after };
                let watch = camera.frozen_after.map(FrozenWatch::new);
                (false, Box::new(move || Ok(Box::new(V4l2Camera::open(&settings, watch.clone(), pool.clone())?))))
            }
            Source::Replay { folder, looped } => {
                let replay = if looped { Replay::Looped } else { Replay::Once };
                (true, Box::new(move || Ok(Box::new(ReplayCamera::open(&folder, replay, pool.clone())?))))
            }
            Source::Rendered { seed, products, defect_rate } => {
                let settings = RenderedSettings { seed, products, defect_rate: defect_rate as f32, parts: None };
                (true, rendered(settings, pool))
            }
        };
        let overload =
            if on_demand && camera.trigger == Trigger::Camera { Overload::Wait } else { Overload::EvictOldest };
        Self { id: camera.id.clone(), trigger: camera.trigger, roi: camera.roi, overload, open, names_products }
    }

    /// Opens it once, outside of any line.
    ///
    /// # Errors
    /// [`CaptureError`].
    pub fn open_once(&mut self) -> Result<Box<dyn Camera>, CaptureError> {
        (self.open)()
    }

    /// Whether its pictures say which product they show: drawn ones that come by themselves do.
    #[must_use]
    pub const fn names_products(&self) -> bool {
        self.names_products
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> &CameraId {
        &self.id
    }

    /// Whether its parts are triggered by messages.
    #[must_use]
    pub fn takes_messages(&self) -> bool {
        self.trigger == Trigger::Mqtt
    }

    /// A rendered camera that ends after `settings.parts`, for a demonstration.
    #[must_use]
    pub fn rendered(id: CameraId, settings: RenderedSettings) -> Self {
        let open = rendered(settings, BufferPool::new(BUFFERS_PER_CAMERA));
        Self { id, trigger: Trigger::Camera, roi: None, overload: Overload::Wait, open, names_products: true }
    }
}

fn rendered(settings: RenderedSettings, pool: BufferPool) -> Open {
    let settings = Arc::new(settings);
    Box::new(move || Ok(Box::new(RenderedCamera::new((*settings).clone(), pool.clone()))))
}
