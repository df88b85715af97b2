//! One turn of one row under one kind of load, and the figures of it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::row::Row;
use crate::load::{Mode, run};

/// Connections that ask as fast as they are answered: a core is full then.
const CONNECTIONS: u32 = 32;
/// Of the open loop.
const RATE_CONNECTIONS: u32 = 16;
const RATE_PER_S: f64 = 1_000.0;
/// Streams at once.
const STREAMS: u32 = 50;
const PACED_CHUNKS: u64 = 32;
const PACED_US: u64 = 20_000;
const FLOOD_CHUNKS: u64 = 256;

/// What is measured; a smaller value is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// CPU of a whole answer at saturation, in microseconds.
    WholeUs,
    /// The middle latency at a fixed rate, in microseconds.
    RateP50Us,
    /// CPU of a whole answer at a fixed rate, in microseconds.
    RateCpuUs,
    /// The middle time to the first event of a paced stream, in microseconds.
    FirstP50Us,
    /// CPU of a chunk of a paced stream, in microseconds.
    PacedUs,
    /// CPU of a chunk of a stream that never pauses, in microseconds.
    FloodUs,
    /// From the start of the process to its first answer, in milliseconds.
    StartMs,
    /// Resident memory after a start, in MiB.
    IdleMib,
}

impl Figure {
    /// In words.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::WholeUs => "CPU of a whole answer, 32 connections, us",
            Self::RateP50Us => "p50 at 1000/s, us",
            Self::RateCpuUs => "CPU of a whole answer at 1000/s, us",
            Self::FirstP50Us => "p50 of the first event of a paced stream, us",
            Self::PacedUs => "CPU of a paced chunk, us",
            Self::FloodUs => "CPU of a chunk without pauses, us",
            Self::StartMs => "start to first answer, ms",
            Self::IdleMib => "resident when idle, MiB",
        }
    }
}

/// Values of each figure, one a round.
#[derive(Default)]
pub struct Figures(BTreeMap<Figure, Vec<f64>>);

impl Figures {
    pub(super) fn note(&mut self, figure: Figure, value: f64) {
        self.0.entry(figure).or_default().push(value);
    }

    /// Of all rounds, in their order; nothing where it was not measured.
    #[must_use]
    pub fn of(&self, figure: Figure) -> &[f64] {
        self.0.get(&figure).map_or(&[], Vec::as_slice)
    }
}

/// Kinds of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whole answers, as many as the core can.
    Whole,
    /// Whole answers, a thousand a second.
    Rate,
    /// Streams with pauses, as models write.
    Paced,
    /// Streams without pauses.
    Flood,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Whole, Self::Rate, Self::Paced, Self::Flood];

    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Rate => "rate",
            Self::Paced => "paced",
            Self::Flood => "flood",
        }
    }

    /// What it measures.
    #[must_use]
    pub fn figures(self) -> &'static [Figure] {
        match self {
            Self::Whole => &[Figure::WholeUs],
            Self::Rate => &[Figure::RateP50Us, Figure::RateCpuUs],
            Self::Paced => &[Figure::FirstP50Us, Figure::PacedUs],
            Self::Flood => &[Figure::FloodUs],
        }
    }

    /// Runs one row for so long; without `counts` to warm up alone.
    ///
    /// # Errors
    /// Where the load cannot be made at all, or the gateway has ended.
    pub async fn run(
        self,
        row: &mut Row,
        bodies: &Bodies,
        seconds: f64,
        counts: bool,
    ) -> anyhow::Result<()> {
        let (mode, connections, body) = match self {
            Self::Whole => (Mode::Closed, CONNECTIONS, &bodies.whole),
            Self::Rate => {
                let per_s = RATE_PER_S;
                (Mode::Rate { per_s }, RATE_CONNECTIONS, &bodies.whole)
            }
            Self::Paced => (stream(), STREAMS, &bodies.stream),
            Self::Flood => (stream(), STREAMS, &bodies.stream),
        };
        let mut load = row.load(mode, body, connections, Duration::from_secs_f64(seconds));
        match self {
            Self::Whole | Self::Rate => {}
            Self::Paced => {
                row.provider.set(PACED_CHUNKS, PACED_US);
                // Streams begin spread over it, not all at once.
                load.warm_up = Duration::from_micros(PACED_CHUNKS * PACED_US);
            }
            Self::Flood => row.provider.set(FLOOD_CHUNKS, 0),
        }
        let cpu_before = row.cpu_ns()?;
        let (requests, chunks) = (row.provider.requests(), row.provider.chunks_sent());
        let told = run(load).await?;
        let cpu_us = (row.cpu_ns()? - cpu_before) as f64 / 1e3;
        let requests = (row.provider.requests() - requests) as f64;
        let chunks = (row.provider.chunks_sent() - chunks) as f64;
        let bad: u64 = ["non200", "errors", "incomplete"]
            .iter()
            .filter_map(|name| told[name].as_u64())
            .sum();
        // Where nothing was answered at all, that is a failure too.
        row.failed += bad + u64::from(told["ok"] == 0);
        if !counts {
            return Ok(());
        }
        let p50 = told["lat_us"]["p50"].as_f64().unwrap_or(f64::NAN);
        let figures = &mut row.figures;
        match self {
            Self::Whole => figures.note(Figure::WholeUs, cpu_us / requests),
            Self::Rate => {
                figures.note(Figure::RateP50Us, p50);
                figures.note(Figure::RateCpuUs, cpu_us / requests);
            }
            Self::Paced => {
                figures.note(Figure::FirstP50Us, p50);
                figures.note(Figure::PacedUs, cpu_us / chunks);
            }
            Self::Flood => figures.note(Figure::FloodUs, cpu_us / chunks),
        }
        Ok(())
    }
}

fn stream() -> Mode {
    Mode::Stream { gap_us: None }
}

/// What is asked.
pub struct Bodies {
    /// For a whole answer.
    pub whole: Bytes,
    /// For a stream.
    pub stream: Bytes,
}
