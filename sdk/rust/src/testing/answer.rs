//! Drives a response guard as the host does and holds it to the contract: nothing is consumed that was not given,
//! nothing stays held past `close`, and no channel holds more than `covers` declared.

use std::collections::BTreeMap;

use pointsman_cases::Flow;

use crate::plugin::{GuardStream, ResponseGuard};
use crate::view::View;
use crate::words::{Action, Attribute, Channel, Delta, Label, Reason};

/// One attempt's answer on its way through a guard.
#[derive(Debug)]
pub struct Answer<S> {
    stream: S,
    channels: BTreeMap<u32, Flow>,
    hold_back_bytes: u32,
    stopped: Option<Reason>,
    notes: Vec<Label>,
}

impl<S: GuardStream> Answer<S> {
    /// Begins an answer.
    pub fn new<P: ResponseGuard<Stream = S>>(plugin: &'static P, request: &dyn View) -> Self {
        Self {
            stream: plugin.start(request),
            channels: BTreeMap::new(),
            hold_back_bytes: plugin.covers().hold_back_bytes,
            stopped: None,
            notes: Vec::new(),
        }
    }

    /// Opens a channel of choice 0 and returns its id.
    ///
    /// # Panics
    /// When the guard fails.
    pub fn open(&mut self, kind: &str, path: &str) -> u32 {
        self.open_channel(Channel {
            choice: 0,
            item: 0,
            kind: kind.to_owned(),
            path: path.to_owned(),
            attributes: Vec::new(),
        })
    }

    /// Opens a channel and returns its id.
    ///
    /// # Panics
    /// When the guard fails.
    pub fn open_channel(&mut self, about: Channel) -> u32 {
        let id = crate::offset(self.channels.len());
        self.channels.insert(id, Flow::default());
        self.stream.open(id, about).expect("open succeeds");
        id
    }

    /// Pushes text of one channel and returns what was released by it.
    ///
    /// # Panics
    /// When the guard fails or breaks the contract.
    pub fn push(&mut self, channel: u32, text: &str) -> String {
        let before = self.released(channel).len();
        self.push_all(&[(channel, text)]);
        self.released(channel)[before..].to_owned()
    }

    /// Pushes the deltas of one provider event.
    ///
    /// # Panics
    /// When the guard fails or breaks the contract.
    pub fn push_all(&mut self, deltas: &[(u32, &str)]) {
        for (channel, text) in deltas {
            self.flow(*channel).give(text);
        }
        let deltas = deltas
            .iter()
            .map(|(channel, text)| Delta {
                channel: *channel,
                text: (*text).to_owned(),
            })
            .collect();
        let actions = self.stream.push(deltas).expect("push succeeds");
        self.apply(actions);
        if self.stopped.is_none() {
            for (channel, flow) in &self.channels {
                let within = flow.within(self.hold_back_bytes);
                assert!(within.is_ok(), "channel {channel}: {within:?}");
            }
        }
    }

    /// Ends a channel.
    ///
    /// # Panics
    /// When the guard fails, breaks the contract, or still holds text.
    pub fn close(&mut self, channel: u32) {
        let actions = self.stream.close(channel).expect("close succeeds");
        self.apply(actions);
        self.assert_resolved(channel);
    }

    /// Tells the guard that these channels reached a bound.
    ///
    /// # Panics
    /// When the guard fails, breaks the contract, or still holds text.
    pub fn expire(&mut self, channels: &[u32]) {
        let actions = self
            .stream
            .expire(channels.to_vec())
            .expect("expire succeeds");
        self.apply(actions);
        for channel in channels {
            self.assert_resolved(*channel);
        }
    }

    /// Ends the answer.
    ///
    /// # Panics
    /// When the guard fails or breaks the contract.
    pub fn finish(&mut self) {
        let outcome = vec![
            Attribute::new("finish-reason", "stop"),
            Attribute::new("complete", true),
        ];
        let actions = self.stream.finish(outcome).expect("finish succeeds");
        self.apply(actions);
    }

    /// What the client has of a channel.
    ///
    /// # Panics
    /// When the channel was never opened.
    #[must_use]
    pub fn released(&self, channel: u32) -> &str {
        self.channels
            .get(&channel)
            .expect("the channel is open")
            .released()
    }

    /// What the guard holds of a channel.
    ///
    /// # Panics
    /// When the channel was never opened.
    #[must_use]
    pub fn held(&self, channel: u32) -> &str {
        self.channels
            .get(&channel)
            .expect("the channel is open")
            .held()
    }

    /// Why the answer was cut, if it was.
    #[must_use]
    pub const fn stopped(&self) -> Option<&Reason> {
        self.stopped.as_ref()
    }

    /// Labels that the guard noted.
    #[must_use]
    pub fn notes(&self) -> &[Label] {
        &self.notes
    }

    fn flow(&mut self, channel: u32) -> &mut Flow {
        self.channels
            .get_mut(&channel)
            .expect("the channel is open")
    }

    fn assert_resolved(&self, channel: u32) {
        let flow = &self.channels[&channel];
        let resolved = flow.resolved();
        assert!(
            self.stopped.is_some() || resolved.is_ok(),
            "channel {channel}: {resolved:?}"
        );
    }

    fn apply(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Pass(take) => {
                    let text = self.take(take.channel, take.bytes);
                    self.release(take.channel, &text);
                }
                Action::Replace(replacement) => {
                    self.take(replacement.channel, replacement.bytes);
                    self.release(replacement.channel, &replacement.text);
                }
                Action::Cut(stop) => self.stopped = Some(stop.reason),
                Action::Note(label) => self.notes.push(label),
            }
        }
    }

    fn release(&mut self, channel: u32, text: &str) {
        if self.stopped.is_none() {
            self.flow(channel).release(text);
        }
    }

    fn take(&mut self, channel: u32, bytes: u32) -> String {
        let taken = self.flow(channel).take(bytes);
        assert!(taken.is_ok(), "channel {channel}: {taken:?}");
        taken.unwrap_or_default()
    }
}
