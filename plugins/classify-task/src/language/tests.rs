//! Sentences of the kind that people write to models, in the languages that the detector knows.

use super::Languages;

const SENTENCES: [(&str, &str); 66] = [
    ("en", "Write a short poem about the sea and the moon."),
    ("en", "What is the capital of France? Answer in one word."),
    ("en", "hello"),
    (
        "en",
        "Can you help me debug this function? It returns null when the list is empty.",
    ),
    ("es", "¿Cuál es la capital de Francia?"),
    ("es", "Escribe una función que ordene una lista de números."),
    ("es", "Resume el siguiente artículo en tres frases."),
    (
        "es",
        "Necesito ayuda con mi tarea de matemáticas, por favor.",
    ),
    ("fr", "Quelle est la capitale de l'Allemagne ?"),
    (
        "fr",
        "Écris une lettre de motivation pour un poste de développeur.",
    ),
    (
        "fr",
        "Peux-tu m'expliquer comment fonctionne la photosynthèse ?",
    ),
    ("fr", "Bonjour, je voudrais un résumé de ce texte."),
    ("de", "Was ist die Hauptstadt von Frankreich?"),
    (
        "de",
        "Schreibe eine Funktion, die eine Liste von Zahlen sortiert.",
    ),
    ("de", "Fasse den folgenden Text in drei Sätzen zusammen."),
    ("de", "Ich brauche Hilfe bei meiner Hausaufgabe."),
    ("it", "Qual è la capitale della Francia?"),
    (
        "it",
        "Scrivi una lettera formale al direttore della scuola.",
    ),
    ("it", "Come posso migliorare il mio inglese?"),
    ("pt", "Qual é a capital da França?"),
    ("pt", "Escreva um poema sobre o mar e a lua."),
    (
        "pt",
        "Você pode me explicar como funciona um motor a combustão?",
    ),
    ("nl", "Wat is de hoofdstad van Frankrijk?"),
    (
        "nl",
        "Schrijf een kort verhaal over een kat die niet kan slapen.",
    ),
    ("nl", "Kun je dit voor mij samenvatten?"),
    ("sv", "Vad är huvudstaden i Frankrike?"),
    (
        "sv",
        "Skriv en kort berättelse om en katt som inte kan sova.",
    ),
    (
        "da",
        "Hvad er hovedstaden i Frankrig, og hvor mange mennesker bor der?",
    ),
    (
        "da",
        "Skriv en kort historie om en kat, der ikke kunne sove, og hvad den så lavede.",
    ),
    (
        "no",
        "Hva er hovedstaden i Frankrike, og hvor mange mennesker bor der?",
    ),
    (
        "no",
        "Jeg har ikke sovet i natt, kan du gi meg noen gode råd?",
    ),
    ("fi", "Mikä on Ranskan pääkaupunki?"),
    ("fi", "Kirjoita lyhyt tarina kissasta, joka ei voi nukkua."),
    ("pl", "Jaka jest stolica Francji?"),
    (
        "pl",
        "Napisz krótkie opowiadanie o kocie, który nie może spać.",
    ),
    ("cs", "Jaké je hlavní město Francie?"),
    ("cs", "Napiš krátký příběh o kočce, která nemůže spát."),
    ("ro", "Care este capitala Franței?"),
    (
        "ro",
        "Scrie o poveste scurtă despre o pisică care nu poate să doarmă.",
    ),
    ("hu", "Mi Franciaország fővárosa?"),
    (
        "hu",
        "Írj egy rövid történetet egy macskáról, aki nem tud aludni.",
    ),
    ("tr", "Fransa'nın başkenti neresidir?"),
    ("tr", "Uyuyamayan bir kedi hakkında kısa bir hikaye yaz."),
    ("id", "Apa ibu kota Prancis?"),
    (
        "id",
        "Tuliskan cerita pendek tentang kucing yang tidak bisa tidur.",
    ),
    ("vi", "Thủ đô của Pháp là gì?"),
    (
        "vi",
        "Hãy viết một câu chuyện ngắn về con mèo không ngủ được.",
    ),
    ("ca", "Quina és la capital de França i quants habitants té?"),
    ("ru", "Какая столица Франции?"),
    ("ru", "Напиши функцию, которая сортирует список чисел."),
    ("uk", "Яка столиця Франції?"),
    (
        "uk",
        "Напиши коротке оповідання про кота, який не може заснути.",
    ),
    ("bg", "Коя е столицата на Франция и колко души живеят там?"),
    (
        "sr",
        "Који је главни град Француске и колико људи тамо живи?",
    ),
    ("ar", "ما هي عاصمة فرنسا؟"),
    ("fa", "پایتخت فرانسه کجاست؟ لطفا توضیح بده."),
    ("ur", "فرانس کا دارالحکومت کیا ہے؟"),
    ("hi", "फ्रांस की राजधानी क्या है?"),
    ("mr", "फ्रान्सची राजधानी काय आहे?"),
    ("zh", "法国的首都是什么?"),
    ("zh", "请用 Python 写一个 quicksort 函数。"),
    ("ja", "フランスの首都はどこですか?"),
    ("ja", "この文章を要約してください。"),
    ("ko", "프랑스의 수도는 어디입니까?"),
    ("th", "เมืองหลวงของฝรั่งเศสคืออะไร"),
    ("el", "Ποια είναι η πρωτεύουσα της Γαλλίας;"),
];

#[test]
fn sentences_are_told_apart() {
    let languages = Languages::new();
    let wrong: Vec<String> = SENTENCES
        .iter()
        .filter_map(|(code, sentence)| {
            let found = languages.of(&sentence.to_lowercase());
            let right = found.code == *code && found.score >= 0.3;
            (!right).then(|| format!("{code}: {found:?} for {sentence}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_to_go_by_is_undetermined() {
    let languages = Languages::new();
    for text in [
        "",
        "  \n",
        "12 + 34 = 46",
        "🦀🦀",
        "```\nlet x = 1;\n```",
        "xkcd qwrt",
    ] {
        let found = languages.of(text);
        assert_eq!((found.code, found.score), ("und", 0.0), "{text}");
    }
}

#[test]
fn confidence_grows_with_the_text() {
    let languages = Languages::new();
    let sentence = "please explain how the engine of a car works and why it needs oil. ";
    let short = languages.of("the engine").score;
    let long = languages.of(&sentence.repeat(5)).score;
    assert!(short < 0.7 && long > 0.9, "{short} {long}");
}

#[test]
fn a_terse_message_takes_the_language_of_what_came_before() {
    let languages = Languages::new();
    let before = "wie sortiere ich eine liste von zahlen, wenn sie sehr lang ist?";
    let found = languages.of("ok super").or_earlier(languages.of(before));
    assert_eq!(found.code, "de");
    assert!(found.score < languages.of(before).score);
}

#[test]
fn fenced_code_does_not_make_a_text_english() {
    let languages = Languages::new();
    let text = "was macht diese funktion?\n```\nif (this.is(the)) { return of.all(the); } // what is this for\n```";
    assert_eq!(languages.of(text).code, "de");
}
