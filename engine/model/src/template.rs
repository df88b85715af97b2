//! The chat template of a model file, run by minijinja.
//!
//! A template is a program from a downloaded file: it runs with bounded fuel, sees only the messages, and reaches
//! nothing outside. Message content cannot forge the model's special tokens (see [`Tokenizer::shield`]).

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use pointsman_gguf::Gguf;

use crate::{LoadError, TemplateError, Tokenizer};

/// One message as a template sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// system, user or assistant.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// Instructions a rendering may take: hundreds of times what a long conversation needs.
const FUEL_MAX: u64 = 10_000_000;
const NAME: &str = "chat";

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    begin: String,
    end: String,
}

impl ChatTemplate {
    pub(crate) fn read(file: &Gguf, tokenizer: &Tokenizer) -> Result<Option<Self>, LoadError> {
        const KEY: &str = "tokenizer.chat_template";
        if file.value(KEY).is_none() {
            return Ok(None);
        }
        let name = |token: Option<u32>| {
            token
                .map(|token| tokenizer.name(token).to_owned())
                .unwrap_or_default()
        };
        Self::new(
            file.text(KEY)?,
            name(tokenizer.begin()),
            name(Some(tokenizer.end())),
        )
        .map(Some)
        .map_err(LoadError::Template)
    }

    fn new(source: &str, begin: String, end: String) -> Result<Self, Error> {
        let mut environment = Environment::new();
        // As the templates' authors run them (transformers sets both).
        environment.set_syntax(
            SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .build()?,
        );
        environment.set_fuel(Some(FUEL_MAX));
        environment.add_function("raise_exception", |text: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, text))
        });
        environment.add_template_owned(NAME, source.to_owned())?;
        Ok(Self {
            environment,
            begin,
            end,
        })
    }

    /// The prompt for `messages`, ready to be answered.
    pub fn render(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
    ) -> Result<String, TemplateError> {
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| context! { role => &message.role, content => tokenizer.shield(&message.content) })
            .collect();
        let values = context! {
            messages,
            add_generation_prompt => true,
            bos_token => &self.begin,
            eos_token => &self.end,
        };
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render(values))
            .map_err(TemplateError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_that_does_not_end_runs_out_of_fuel() {
        let source =
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
        let template = ChatTemplate::new(source, String::new(), String::new()).expect("compiles");
        let template = template.environment.get_template(NAME).expect("there");
        let refused = template.render(()).expect_err("bounded");
        assert_eq!(refused.kind(), ErrorKind::OutOfFuel);
    }

    #[test]
    fn a_template_may_refuse_messages() {
        let template = ChatTemplate::new(
            "{{ raise_exception('roles must alternate') }}",
            String::new(),
            String::new(),
        )
        .expect("compiles");
        let refused = template
            .environment
            .get_template(NAME)
            .expect("there")
            .render(())
            .expect_err("refused");
        assert!(
            refused.to_string().contains("roles must alternate"),
            "{refused}"
        );
    }
}
