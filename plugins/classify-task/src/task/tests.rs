//! Prompts of the kind that people write, by task. Those that a phrase table cannot tell are not here; the README says
//! so.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{Task, Tasks};
use crate::complexity::Structure;
use crate::phrases::Phrases;

const PROMPTS: [(&str, &str); 78] = [
    (
        "code",
        "Write a function in Python that returns the n-th Fibonacci number.",
    ),
    (
        "code",
        "Why does this code throw a NullPointerException?\n```java\nString s = null;\ns.length();\n```",
    ),
    (
        "code",
        "fn main() {\n    let x = vec![1, 2, 3];\n    println!(\"{}\", x[5]);\n}\nfix this",
    ),
    ("code", "How do I center a div with CSS?"),
    (
        "code",
        "Write a SQL query that lists the ten customers with the most orders.",
    ),
    ("code", "Refactor this class to use dependency injection"),
    ("code", "Explain what this regex does: ^[a-z]+$"),
    (
        "code",
        "Implement a thread-safe LRU cache in Rust with unit tests.",
    ),
    (
        "code",
        "Schreibe eine Funktion in Rust, die eine Liste sortiert.",
    ),
    ("code", "Escribe un programa en Java que lea un archivo."),
    (
        "code",
        "Напиши функцию на Python, которая проверяет палиндром.",
    ),
    ("code", "用 Python 写一个函数,计算斐波那契数列。"),
    ("code", "JavaScriptで配列をソートする関数を書いてください。"),
    (
        "code",
        "docker build fails with exit code 137, what is wrong with my Dockerfile?",
    ),
    ("math", "Solve for x: 2x + 5 = 11"),
    ("math", "What is 17 * 23?"),
    (
        "math",
        "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips did Natalia sell altogether in April and May?",
    ),
    ("math", "Prove that the square root of 2 is irrational."),
    ("math", "Find the derivative of f(x) = x^3 - 4x."),
    (
        "math",
        "A train leaves at 60 miles per hour and another at 80 miles per hour. How long until they are 350 miles apart?",
    ),
    (
        "math",
        "What is the probability of rolling two sixes with 3 dice?",
    ),
    ("math", "Evaluate \\int_0^1 x^2 dx"),
    ("math", "Berechne die Ableitung von x^2 + 3x."),
    ("math", "Résous l'équation 3x - 7 = 2"),
    ("math", "Реши уравнение x^2 - 5x + 6 = 0"),
    ("math", "计算 128 除以 16 等于多少?"),
    (
        "translation",
        "Translate the following sentence into French: The cat sleeps on the sofa.",
    ),
    ("translation", "How do you say 'good morning' in Japanese?"),
    (
        "translation",
        "translate to german: where is the train station?",
    ),
    (
        "translation",
        "Traduce al inglés: me gustaría reservar una mesa.",
    ),
    (
        "translation",
        "Übersetze ins Englische: Das Wetter ist heute schön.",
    ),
    ("translation", "Traduis en anglais : je voudrais un café."),
    (
        "translation",
        "Переведи на английский: сегодня хорошая погода.",
    ),
    ("translation", "把下面的句子翻译成英文:今天天气很好。"),
    (
        "translation",
        "次の文を英語に翻訳してください:今日は天気がいいです。",
    ),
    (
        "translation",
        "다음 문장을 영어로 번역해 주세요: 오늘 날씨가 좋네요.",
    ),
    (
        "summary",
        "Summarize the following article in three bullet points: The city council met on Tuesday.",
    ),
    ("summary", "tl;dr of this email thread please"),
    ("summary", "Give me the key points of the text below."),
    (
        "summary",
        "Fasse den folgenden Artikel zusammen: Der Stadtrat tagte am Dienstag.",
    ),
    (
        "summary",
        "Résume ce texte en deux phrases : le conseil municipal s'est réuni mardi.",
    ),
    (
        "summary",
        "Resume el siguiente texto: el ayuntamiento se reunió el martes.",
    ),
    ("summary", "请总结以下文章的要点。"),
    ("summary", "この記事を要約してください。"),
    ("summary", "Кратко перескажи статью ниже."),
    (
        "extraction",
        "Extract all the dates and names from the following text and return JSON.",
    ),
    (
        "extraction",
        "Parse this invoice into JSON with the fields vendor, date and total: ACME, 2024-05-06, 99.00",
    ),
    (
        "extraction",
        "List all the names mentioned: Anna met Bob and Carol. Return as a CSV.",
    ),
    (
        "extraction",
        "Extrahiere alle Namen aus dem folgenden Text.",
    ),
    ("extraction", "Извлеки все даты из текста."),
    ("extraction", "从下面的文本中提取所有人名。"),
    (
        "classification",
        "Classify the sentiment of this review as positive, negative or neutral: I loved it.",
    ),
    (
        "classification",
        "Is this spam or not? 'You won a prize, click here'",
    ),
    (
        "classification",
        "Which category does this ticket belong to: billing, technical or sales?",
    ),
    (
        "classification",
        "Klassifiziere die folgenden Sätze nach Stimmung.",
    ),
    ("writing", "Write a poem about the sea."),
    ("writing", "Draft an email to my boss asking for a day off."),
    (
        "writing",
        "Rewrite this paragraph to make it sound more formal.",
    ),
    ("writing", "Come up with a slogan for a coffee shop."),
    ("writing", "Write a 500 word essay about climate change."),
    ("writing", "Schreibe ein Gedicht über den Herbst."),
    ("writing", "Escribe un cuento sobre un dragón."),
    ("writing", "Rédige une lettre de motivation."),
    ("writing", "Напиши рассказ о коте."),
    ("writing", "写一首关于秋天的诗。"),
    ("question", "What is the capital of France?"),
    ("question", "Who wrote Don Quixote?"),
    ("question", "Why is the sky blue?"),
    ("question", "Explain how vaccines work."),
    ("question", "Was ist die Hauptstadt von Frankreich?"),
    ("question", "Pourquoi le ciel est-il bleu ?"),
    ("question", "法国的首都是什么?"),
    ("question", "フランスの首都はどこか教えてください。"),
    ("chat", "hello"),
    ("chat", "Hi there, how are you?"),
    ("chat", "mail a@b.io"),
    ("chat", "thanks, that's great"),
    ("chat", "привет, как дела"),
];

fn find(text: &str, earlier: &str) -> Task {
    static MADE: LazyLock<(Tasks, Phrases)> =
        LazyLock::new(|| Tasks::new(&BTreeMap::new()).expect("tasks"));
    let (tasks, phrases) = &*MADE;
    let text = text.to_lowercase();
    let mut evidence = tasks.evidence(&phrases.find(&text), &text, &Structure::default());
    evidence.add_earlier(&phrases.find(earlier));
    tasks.decide(evidence)
}

#[test]
fn prompts_are_told_apart() {
    let wrong: Vec<String> = PROMPTS
        .iter()
        .filter_map(|(task, prompt)| {
            let found = find(prompt, "");
            (found.name != *task).then(|| format!("{task}: {found:?} for {prompt}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_score_falls_with_the_evidence() {
    let score = |prompt: &str| find(prompt, "").score;
    let sure = score("write a function in python and a unit test for it");
    let torn = score("summarize and classify this article: the council met");
    let guess = score("banana");
    assert!(
        sure > 0.7 && torn < 0.6 && guess < 0.4,
        "{sure} {torn} {guess}"
    );
}

#[test]
fn what_came_before_breaks_a_tie_but_does_not_decide() {
    let before = "write a function in python that reads a csv file.\ndef read(path): ...";
    let follow = find("now make it faster", before);
    assert_eq!(follow.name, "code");
    let other = find("translate this into french: good morning", before);
    assert_eq!(other.name, "translation");
}
