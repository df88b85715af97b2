//! The host's side of the contract: what guests may call. Every call is counted and recorded.

use pointsman_domain::FaultKind;
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::call::Counted;
use crate::contract::Import;
use crate::fault::Cause;
use crate::generated::pointsman::plugin as wit;
use crate::limits;
use crate::record::Raw;
use crate::state::{ONLY, PoolHandle, State, ViewHandle};
use crate::wit as convert;

type View = Resource<ViewHandle>;
type Pool = Resource<PoolHandle>;
type Columns = Vec<Vec<Option<wit::types::Value>>>;

impl wit::types::Host for State {}
impl wit::request::Host for State {}
impl wit::targets::Host for State {}

impl wit::request::HostView for State {
    fn field(&mut self, _: View, name: String) -> Result<Option<wit::types::Value>> {
        self.enter("view.field")?;
        self.recorder.fold(&name);
        let value = self.view.field(&name);
        self.recorder.answer(&value)?;
        Ok(value.map(convert::value))
    }

    fn fields(&mut self, _: View, names: Vec<String>) -> Result<Vec<Option<wit::types::Value>>> {
        let field = |name| self.field(Resource::new_borrow(ONLY), name);
        names.into_iter().map(field).collect()
    }

    fn label(&mut self, _: View, key: String) -> Result<Option<wit::types::Label>> {
        self.enter("view.label")?;
        self.recorder.fold(&key);
        let label = self.view.label(&key);
        self.recorder.answer(&label)?;
        Ok(label.map(convert::label))
    }

    fn header(&mut self, _: View, name: String) -> Result<Option<String>> {
        self.enter("view.header")?;
        self.recorder.fold(&name);
        let header = self.view.header(&name);
        self.recorder.answer(&header)?;
        Ok(header.map(str::to_owned))
    }

    fn message_count(&mut self, _: View) -> Result<u32> {
        self.enter("view.message-count")?;
        let count = count(self.view.messages.len());
        self.recorder.answer(&count)?;
        Ok(count)
    }

    fn message_field(
        &mut self,
        _: View,
        message: u32,
        name: String,
    ) -> Result<Option<wit::types::Value>> {
        self.enter("view.message-field")?;
        self.recorder.fold(&message);
        self.recorder.fold(&name);
        let message = self.view.messages.get(message as usize);
        let value = message.and_then(|message| {
            if name == "parts" {
                return Some(pointsman_domain::Value::Integer(i64::from(count(
                    message.parts.len(),
                ))));
            }
            field(&message.fields, &name).cloned()
        });
        self.recorder.answer(&value)?;
        Ok(value.as_ref().map(convert::value))
    }

    fn part_field(
        &mut self,
        _: View,
        message: u32,
        part: u32,
        name: String,
    ) -> Result<Option<wit::types::Value>> {
        self.enter("view.part-field")?;
        self.recorder.fold(&message);
        self.recorder.fold(&part);
        self.recorder.fold(&name);
        let message = self.view.messages.get(message as usize);
        let part = message.and_then(|message| message.parts.get(part as usize));
        let value = part.and_then(|part| field(&part.fields, &name));
        self.recorder.answer(&value)?;
        Ok(value.map(convert::value))
    }

    fn segment_count(&mut self, _: View) -> Result<u32> {
        self.enter("view.segment-count")?;
        let count = count(self.view.segments.len());
        self.recorder.answer(&count)?;
        Ok(count)
    }

    fn segments(&mut self, _: View, first: u32, count: u32) -> Result<Vec<wit::request::Segment>> {
        self.enter("view.segments")?;
        self.recorder.fold(&first);
        self.recorder.fold(&count);
        let all = &self.view.segments;
        let first = (first as usize).min(all.len());
        let end = first.saturating_add(count as usize).min(all.len());
        let segments = &all[first..end];
        self.recorder.answer(segments)?;
        Ok(segments.iter().map(convert::segment).collect())
    }

    fn recent_text(&mut self, _: View, messages: u32, bytes_max: u32) -> Result<String> {
        self.enter("view.recent-text")?;
        self.recorder.fold(&messages);
        self.recorder.fold(&bytes_max);
        let text = self.view.recent_text(messages, bytes_max);
        self.recorder.answer(&text)?;
        Ok(text)
    }

    fn tool_names(&mut self, _: View) -> Result<Vec<String>> {
        self.enter("view.tool-names")?;
        let names: Vec<String> = self
            .view
            .tools
            .iter()
            .map(|tool| tool.name.clone())
            .collect();
        self.recorder.answer(&names)?;
        Ok(names)
    }

    fn tool_schema(&mut self, _: View, name: String) -> Result<Option<String>> {
        self.enter("view.tool-schema")?;
        self.recorder.fold(&name);
        let tool = self.view.tools.iter().find(|tool| tool.name == name);
        let schema = tool.and_then(|tool| tool.schema.as_ref());
        self.recorder.answer(&schema)?;
        Ok(schema.cloned())
    }

    fn body_length(&mut self, _: View) -> Result<u64> {
        self.enter("view.body-length")?;
        let length = self.view.body.len() as u64;
        self.recorder.answer(&length)?;
        Ok(length)
    }

    fn body(&mut self, _: View, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.enter("view.body")?;
        self.recorder.fold(&offset);
        self.recorder.fold(&length);
        let bytes = range(&self.view.body, offset, length);
        self.recorder.answer(&Raw(bytes))?;
        Ok(bytes.to_vec())
    }

    fn drop(&mut self, _: View) -> Result<()> {
        Ok(())
    }
}

impl wit::targets::HostPool for State {
    fn names(&mut self, _: Pool) -> Result<Vec<String>> {
        self.enter("pool.names")?;
        self.recorder.answer(&self.pool.names)?;
        Ok(self.pool.names.clone())
    }

    fn column(&mut self, _: Pool, key: String) -> Result<Vec<Option<wit::types::Value>>> {
        self.enter("pool.column")?;
        self.recorder.fold(&key);
        let mut columns = self.pool.columns.iter();
        let Some((_, column)) = columns.find(|(known, _)| *known == key) else {
            let unknown = vec![None::<wit::types::Value>; self.pool.names.len()];
            self.recorder
                .answer(&vec![None::<bool>; self.pool.names.len()])?;
            return Ok(unknown);
        };
        self.recorder.answer(column)?;
        let column = column.iter();
        Ok(column
            .map(|value| value.as_ref().map(convert::value))
            .collect())
    }

    fn columns(&mut self, _: Pool, keys: Vec<String>) -> Result<Columns> {
        let column = |key| self.column(Resource::new_borrow(ONLY), key);
        keys.into_iter().map(column).collect()
    }

    fn drop(&mut self, _: Pool) -> Result<()> {
        Ok(())
    }
}

impl wit::log::Host for State {
    fn log(&mut self, level: wit::log::Level, message: String) -> Result<()> {
        self.enter_import(Import::Log, "log.log")?;
        self.recorder.fold(&message);
        self.log_lines = self.log_lines.saturating_add(1);
        if self.log_lines > limits::LOG_LINES_MAX {
            return Ok(());
        }
        let message = convert::cut(&message, limits::LOG_LINE_BYTES_MAX);
        // A plugin may log content, so its own level stays a field and the line is never above debug.
        tracing::debug!(plugin = %self.plugin.label, step = %self.step, level = ?level, "{message}");
        Ok(())
    }
}

impl wit::clock::Host for State {
    fn now_ms(&mut self) -> Result<u64> {
        self.enter_import(Import::Clock, "clock.now-ms")?;
        self.recorder.answer(&self.now_ms)?;
        Ok(self.now_ms)
    }
}

impl wit::random::Host for State {
    fn next_u64(&mut self) -> Result<u64> {
        self.enter_import(Import::Random, "random.next-u64")?;
        let number = self.next_random();
        self.recorder.answer(&number)?;
        Ok(number)
    }
}

impl wit::data::Host for State {
    fn size(&mut self, name: String) -> Result<Option<u64>> {
        self.enter_import(Import::Data, "data.size")?;
        self.recorder.fold(&name);
        let size = self.data.get(&name).map(|bytes| bytes.len() as u64);
        self.recorder.answer(&size)?;
        Ok(size)
    }

    fn read(&mut self, name: String, offset: u64, length: u32) -> Result<Option<Vec<u8>>> {
        self.enter_import(Import::Data, "data.read")?;
        self.recorder.fold(&name);
        self.recorder.fold(&offset);
        self.recorder.fold(&length);
        let bytes = self
            .data
            .get(&name)
            .map(|bytes| range(bytes, offset, length));
        self.recorder.answer(&bytes.map(Raw))?;
        Ok(bytes.map(<[u8]>::to_vec))
    }
}

impl wit::prices::Host for State {
    fn rates(&mut self, target: String) -> Result<Option<Vec<wit::prices::Rate>>> {
        self.enter_import(Import::Prices, "prices.rates")?;
        self.recorder.fold(&target);
        let rates = self.prices.as_ref().and_then(|book| book.get(&target));
        self.recorder.answer(&rates)?;
        Ok(rates.map(|rates| rates.iter().map(convert::rate).collect()))
    }
}

impl wit::counters::Host for State {
    fn count(&mut self, name: String, window_seconds: u32) -> Result<u64> {
        self.enter_import(Import::Counters, "counters.count")?;
        self.recorder.fold(&name);
        self.recorder.fold(&window_seconds);
        // A number would be taken for a true one, so what is not counted is a fault and not zero.
        let Some(counted) = Counted::by_name(&name) else {
            let known = Counted::ALL.map(Counted::as_str).join(", ");
            let detail = format!("asked for a count that is not kept; there are: {known}");
            return Err(Cause::new(FaultKind::Import, detail).into());
        };
        if !(1..=limits::COUNT_WINDOW_S_MAX).contains(&window_seconds) {
            let max = limits::COUNT_WINDOW_S_MAX;
            let detail =
                format!("asked for a count over {window_seconds} s; windows are of 1 to {max} s");
            return Err(Cause::new(FaultKind::Import, detail).into());
        }
        let tenant = self.tenant.as_ref();
        let count = tenant.map_or(0, |tenant| {
            tenant.count(counted, window_seconds, self.now_ms)
        });
        self.recorder.answer(&count)?;
        Ok(count)
    }
}

impl wit::secrets::Host for State {
    fn hmac(&mut self, name: String, message: Vec<u8>) -> Result<Option<Vec<u8>>> {
        self.enter_import(Import::Secrets, "secrets.hmac")?;
        self.recorder.fold(&name);
        self.recorder.fold(&Raw(&message));
        let tenant = self.tenant.as_ref().map(|tenant| tenant.id());
        let signed = self.secrets.hmac(&name, &message, tenant);
        self.recorder.answer(&signed.as_deref().map(Raw))?;
        Ok(signed)
    }
}

impl wit::embedding::Host for State {
    fn vector(&mut self, name: String) -> Result<Option<Vec<f32>>> {
        self.enter_import(Import::Embedding, "embedding.vector")?;
        self.recorder.fold(&name);
        let vector = Self::vector(self, &name).cloned();
        self.recorder.answer(&vector.as_deref())?;
        Ok(vector.map(|vector| vector.to_vec()))
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn range(bytes: &[u8], offset: u64, length: u32) -> &[u8] {
    let first = usize::try_from(offset).map_or(bytes.len(), |first| first.min(bytes.len()));
    let end = first.saturating_add(length as usize).min(bytes.len());
    &bytes[first..end]
}

fn field<'a>(
    fields: &'a [(std::borrow::Cow<'static, str>, pointsman_domain::Value)],
    name: &str,
) -> Option<&'a pointsman_domain::Value> {
    fields
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}
