//! Where the parts of an export go: to a renderer in this process, or in a limited child.
//! The bytes go on to the object store as they come.

use bytes::Bytes;
use futures::Stream;
use futures::stream;
use quaestor_core::model::ExportFormat;
use quaestor_exports::{Fonts, Part, Render, Template, needs_child, renderer};
use tokio::sync::mpsc;

use super::Produced;
use crate::context::Context;
use crate::decision::Decision;
use crate::render_process::{RenderFailure, Rendering};

/// Pieces between renderer and store.
const PIECES: usize = 4;

/// Bytes are handed on when there are so many.
const PIECE_BYTES: usize = 64 << 10;

type Piece = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Takes parts and gives bytes.
pub(super) struct Output {
    to: mpsc::Sender<Piece>,
    renderer: Option<Renderer>,
}

enum Renderer {
    /// What is written as it comes.
    Here { renderer: Box<dyn Render>, bytes: Vec<u8> },
    /// What runs a template, or is held until its end.
    Child(Box<Rendering>),
}

impl From<RenderFailure> for Decision {
    fn from(failure: RenderFailure) -> Self {
        match failure {
            RenderFailure::Export(problem) => Self::Fail(problem),
            RenderFailure::Process(error) => Self::retry("renderer_unavailable", error),
        }
    }
}

impl Output {
    /// An output, and the bytes that come out of it.
    pub(super) fn new() -> (Self, impl Stream<Item = Piece> + Send + 'static) {
        let (to, receiver) = mpsc::channel(PIECES);
        let bytes = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        (Self { to, renderer: None }, bytes)
    }

    /// Starts the renderer.
    pub(super) async fn begin(
        &mut self,
        context: &Context,
        format: ExportFormat,
        template: Option<Template>,
    ) -> Result<(), Produced> {
        self.renderer = Some(if needs_child(format) {
            let clock = context.clock.clone();
            Renderer::Child(Box::new(context.renderer.start(format, template, clock).await?))
        } else {
            Renderer::Here {
                renderer: renderer(format, template, Fonts::default()),
                bytes: Vec::new(),
            }
        });
        Ok(())
    }

    /// Writes a part.
    pub(super) async fn part(&mut self, part: Part) -> Result<(), Produced> {
        match &mut self.renderer {
            None => Ok(()),
            Some(Renderer::Child(child)) => Ok(child.part(&part).await?),
            Some(Renderer::Here { renderer, bytes }) => {
                renderer.part(part, bytes).map_err(Decision::Fail)?;
                if bytes.len() < PIECE_BYTES {
                    return Ok(());
                }
                let piece = std::mem::take(bytes);
                self.send(piece).await
            }
        }
    }

    /// There are no more parts: writes the rest.
    pub(super) async fn end(&mut self) -> Result<(), Produced> {
        match self.renderer.take() {
            None => Ok(()),
            Some(Renderer::Here { mut renderer, mut bytes }) => {
                renderer.end(&mut bytes).map_err(Decision::Fail)?;
                self.send(bytes).await
            }
            Some(Renderer::Child(mut child)) => {
                child.end().await?;
                while let Some(piece) = child.next().await? {
                    self.send(piece).await?;
                }
                Ok(())
            }
        }
    }

    /// The file is not whole: whoever stores it keeps nothing.
    pub(super) async fn break_off(&mut self) {
        self.renderer = None;
        // Nobody listens where the storage has failed.
        let _ = self.to.send(Err("the export broke off".into())).await;
    }

    async fn send(&mut self, bytes: Vec<u8>) -> Result<(), Produced> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.to.send(Ok(bytes.into())).await.map_err(|_| Produced::Refused)
    }
}
