//! Our tasks and the phrases that ask for them, in the languages that most requests come in. Lower case; `*` at the
//! end matches any ending of the word. Weights: 3 asks for it, 2 nearly always does, 1 often goes with it.

/// Programs: write, explain, repair.
pub(crate) const CODE: &str = "code";
/// Reckoning and proofs.
pub(crate) const MATH: &str = "math";
/// From one language to another.
pub(crate) const TRANSLATION: &str = "translation";
/// Shorter.
pub(crate) const SUMMARY: &str = "summary";
/// Facts of a text in a given form.
pub(crate) const EXTRACTION: &str = "extraction";
/// Which of some classes.
pub(crate) const CLASSIFICATION: &str = "classification";
/// New text, or a better one.
pub(crate) const WRITING: &str = "writing";
/// Something to know or to have explained.
pub(crate) const QUESTION: &str = "question";
/// Talk, and what nothing else fits.
pub(crate) const CHAT: &str = "chat";

/// All of ours; of two with the same evidence the earlier wins, so the general ones come last.
pub(super) const NAMES: [&str; 9] = [
    TRANSLATION,
    SUMMARY,
    EXTRACTION,
    CLASSIFICATION,
    MATH,
    CODE,
    WRITING,
    QUESTION,
    CHAT,
];

/// Task, weight, phrases.
pub(super) const PHRASES: [(&str, f32, &str); 31] = [
    (
        CODE,
        3.0,
        "write a function|write a program|write a script|write code|implement a|fix this bug|fix the bug|debug this|\
        debug my|refactor this|code review|review this code|this code|my code|sql query|unit test|unit tests|regex that|\
        regular expression|stack trace|traceback|compile error|compiler error|segmentation fault|null pointer|\
        nullpointerexception|syntaxerror|typeerror|keyerror|valueerror|undefined is not|borrow checker|\
        write a query|write a class|write a method|bash script|shell script|dockerfile|pull request|git commit",
    ),
    (
        CODE,
        2.0,
        "python|javascript|typescript|rust|golang|java|kotlin|swift|c++|c#|ruby|php|sql|html|css|react|django|node.js|\
        numpy|pandas|kubernetes|docker|terraform|postgres*|mysql|mongodb|graphql|rest api|api endpoint|leetcode|refactor*|\
        debug*|codebase|compiler|async|mutex|recursion|recursive*|linked list|binary tree|binary search|hash map|\
        hashmap|dijkstra|quicksort|fizzbuzz|fibonacci|cargo|npm|pip install|webpack|regex",
    ),
    (
        CODE,
        1.0,
        "function|method|class|code|script|program|algorithm|array|loop|variable|compile*|runtime|database|query|\
        api|json|yaml|library|framework|endpoint|repository|git|bug|exception|error message|console|terminal|linux|bash",
    ),
    (
        CODE,
        3.0,
        "escribe una función|escribe un programa|escribe un script|este código|écris une fonction|\
        écris un programme|écris un script|ce code|schreibe eine funktion|schreibe ein programm|schreibe ein skript|\
        schreib eine funktion|diesen code|scrivi una funzione|scrivi un programma|questo codice|escreva uma função|\
        escreva um programa|este código|schrijf een functie|schrijf een programma|deze code|skriv en funktion|\
        skriv en funksjon|napisz funkcję|napisz program|napiš funkci|bir fonksiyon yaz|kod yaz|напиши функцию|\
        напиши программу|напишите функцию|напиши скрипт|напиши код|напиши функцію|напиши програму|写一个函数|写一段代码|\
        写代码|编写|这段代码|程序|関数を書いて|コードを書いて|このコード|プログラム|함수를 작성|코드를 작성|이 코드|프로그램을 작성|\
        اكتب دالة|اكتب برنامج|फ़ंक्शन लिख|प्रोग्राम लिख|viết hàm|viết chương trình|tulis fungsi|buatkan fungsi",
    ),
    (
        CODE,
        1.0,
        "código|función|funktion|fonction|funzione|função|programma|programm|programme|алгоритм|функци*|代码|函数|コード|関数|코드|함수",
    ),
    (
        MATH,
        3.0,
        "solve for|solve the equation|solve the system|differentiate|integrate|the derivative of|the integral of|\
        prove that|evaluate the integral|find the limit|find the roots|find the value of|what is the probability|\
        simplify the expression|simplify the|factor the|factorize|square root of|the area of|the volume of|the perimeter of|\
        standard deviation|eigenvalue*|determinant of|quadratic equation|greatest common divisor|least common multiple|\
        how many ways|\\frac|\\int|\\sum|\\sqrt|\\lim|\\begin{align|$$",
    ),
    (
        MATH,
        2.0,
        "equation*|integral|derivative|polynomial|theorem|probability|matrix|calculus|algebra|trigonometr*|logarithm*|\
        geometry|arithmetic|calculate|compute|percentage of|percent of|hypotenuse|prime number|prime numbers|modulo|\
        divisible|remainder|triangle|vector space|compound interest|per hour|twice as many|half as many|\
        times as many|times more|altogether|how many more|how many fewer",
    ),
    (
        MATH,
        1.0,
        "solve|percent|percentage|sum of|product of|average|total|ratio|fraction*|multiply|multiplied|divided by|\
        minus|plus|equals|math|mathematics|proof|number of|each|per week|per day|miles|\
        dozen|discount|twice|combined|in total|half of|remaining|two times|three times|four times|times the",
    ),
    (
        MATH,
        3.0,
        "resuelve la ecuación|resuelve|calcula|cuánto es|demuestra que|derivada|résous|résoudre|calcule|calculez|\
        combien font|démontre que|dérivée|löse die gleichung|löse|berechne|berechnen sie|wie viel ist|beweise dass|\
        beweise, dass|ableitung|risolvi|calcola|quanto fa|dimostra che|derivata|resolva|quanto é|demonstre que|\
        los de vergelijking op|bereken|hoeveel is|lös ekvationen|beräkna|løs ligningen|beregn|ratkaise|laske|oblicz|\
        rozwiąż|vyřeš|vypočítej|rezolvă|calculează|oldd meg|számítsd ki|denklemi çöz|hesapla|реши уравнение|реши|решите|\
        вычисли|вычислите|посчитай|докажи|докажите|розв'яжи|обчисли|解方程|计算|求解|证明|求導|方程式を解|計算し|計算して|\
        証明し|방정식|계산해|증명해|احسب|حل المعادلة|أثبت أن|हल कर|गणना कर|giải phương trình|tính|chứng minh|hitung|selesaikan",
    ),
    (
        MATH,
        1.0,
        "ecuación|probabilidad|équation|probabilité|gleichung|wahrscheinlichkeit|equazione|probabilità|equação|\
        уравнени*|вероятност*|интеграл*|производн*|方程|概率|積分|確率|확률",
    ),
    (
        TRANSLATION,
        3.0,
        "translate|translate this|translation of|how do you say|how do i say|what is the translation|\
        localize this|into english|into french|into spanish|into german|into italian|into portuguese|into dutch|\
        into russian|into chinese|into japanese|into korean|into arabic|into hindi|into turkish|into polish",
    ),
    (
        TRANSLATION,
        1.0,
        "translation|translator|to english|to french|to spanish|to german|to italian|to portuguese|to dutch|\
        to russian|to chinese|to japanese|to korean|to arabic|to hindi|in french|in spanish|in german|in japanese|in chinese|\
        in italian|in korean|in russian",
    ),
    (
        TRANSLATION,
        3.0,
        "traduce|traducir|traduzca|tradúceme|cómo se dice|traduis|traduisez|traduire|traduction|\
        comment dit-on|übersetze|übersetzen|übersetz|übersetzung|wie sagt man|traduci|tradurre|traduzione|come si dice|\
        traduza|traduzir|tradução|como se diz|vertaal|vertalen|vertaling|översätt|oversett|oversæt|käännä|przetłumacz|\
        tłumacz|přelož|přeložit|traduceți|tradu|fordítsd|fordítás|çevir|tercüme|переведи*|перевод|перевести|переклади|\
        переведіть|преведи|翻译|译成|譯成|翻譯|訳して|翻訳|번역|ترجم|ترجمة|अनुवाद|dịch|terjemahkan|tradueix",
    ),
    (
        SUMMARY,
        3.0,
        "summarize|summarise|summary of|a summary|summarization|tl;dr|tldr|key points|main points|\
        key takeaways|main takeaways|sum up|condense|in a nutshell|give me the gist|the gist of|executive summary|\
        boil this down|boil down",
    ),
    (
        SUMMARY,
        1.0,
        "summary|brief overview|recap|shorten|bullet points|in one sentence|in two sentences|in three sentences|\
        in a few sentences|abstract of|highlights",
    ),
    (
        SUMMARY,
        3.0,
        "resume el|resume este|resume la|resúmeme|resumir|un resumen|resumen de|puntos clave|résume|résumez|\
        résumer|un résumé|points clés|fasse den|fasse das|fasse die|fasse diesen|fasse folgenden|fassen sie|zusammenfassen|\
        zusammenfassung|fasse zusammen|riassumi|riassumere|un riassunto|riassunto|punti chiave|resuma|um resumo|resumo de|\
        pontos principais|vat samen|samenvatten|samenvatting|vat de|vat dit|sammanfatta|sammanfattning|sammenfat|\
        oppsummer|opsummer|tiivistä|yhteenveto|streść|podsumuj|streszczenie|podsumowanie|shrň|shrnutí|rezumă|rezumat|\
        foglald össze|összefoglal*|özetle|özet|кратко изложи|кратко перескажи|перескажи|резюмируй|сделай краткое|\
        краткое содержание|підсумуй|стисло|обобщи|резюме|总结|概括|摘要|概述|總結|要約|まとめて|要点|요약|لخص|تلخيص|ملخص|\
        सारांश|संक्षेप|tóm tắt|ringkas|rangkum|ringkasan|resumeix",
    ),
    (
        EXTRACTION,
        3.0,
        "extract|extract all|named entities|named entity|entity recognition|pull out|parse the following|\
        parse this|convert to json|as json|into json|in json format|return json|valid json|json object with|into a table|\
        as a csv|list all the names|find all dates|fill in the following fields|structured data|key-value pairs",
    ),
    (
        EXTRACTION,
        1.0,
        "json|csv|fields|schema|entities|invoice|all the dates|all the names|all email|all mentions|\
        phone numbers|from the text|from the following|from this text|identify all|list all",
    ),
    (
        EXTRACTION,
        3.0,
        "extrae|extraer|extraiga|extrais|extraire|extrayez|extrahiere|extrahieren|estrai|estrarre|extraia|\
        extrair|haal uit|extraheer|extrahera|udtræk|trekk ut|poimi|wyodrębnij|wypisz|extrahuj|vypiš|extrage|nyerd ki|çıkar|\
        извлеки|извлечь|извлеките|выпиши|выдели|витягни|извлечи|提取|抽取|提取出|抽出|取り出して|추출|استخرج|निकाल|trích xuất|ekstrak",
    ),
    (
        CLASSIFICATION,
        3.0,
        "classify|categorize|categorise|sentiment of|sentiment analysis|positive or negative|\
        positive, negative|label the following|label this|which category|which of these categories|is this spam|\
        spam or not|true or false|yes or no",
    ),
    (
        CLASSIFICATION,
        1.0,
        "category|categories|sentiment|classification|label|labels|classes|tag|spam|intent of|positive|negative|neutral",
    ),
    (
        CLASSIFICATION,
        3.0,
        "clasifica|clasificar|classe ce|classifie|classifier ce|klassifiziere|klassifizieren|\
        ordne ein|classifica|classificare|classifique|classificar|classificeer|klassificera|klassificer|klassifiser|\
        luokittele|sklasyfikuj|klasifikuj|clasifică|osztályozd|sınıflandır|классифицируй|классифицируйте|определи тональность|\
        класифікуй|класифицирай|分类|情感分析|分類|감정 분석|분류|صنف|वर्गीकृत|phân loại|klasifikasikan",
    ),
    (
        WRITING,
        3.0,
        "write a poem|write a story|write an essay|write an email|write a letter|write a blog|write an article|\
        write a short|write a song|write a speech|write a haiku|write a cover letter|write a product|write a press|\
        write a tweet|write a paragraph|write a review|write me a|draft a|draft an|compose a|compose an|rewrite|rephrase|\
        paraphrase|proofread|improve the writing|correct the grammar|fix the grammar|make it sound|more formal|\
        more polite|brainstorm|come up with|suggest a name|suggest names|slogan for|tagline for|continue the story|tell me a story",
    ),
    (
        WRITING,
        1.0,
        "poem|story|essay|email|letter|blog post|article|lyrics|haiku|sonnet|limerick|speech|tone|grammar|style|\
        paragraph|headline|slogan|tagline|tweet|caption|novel|character|plot|ideas for|creative|draft|write",
    ),
    (
        WRITING,
        3.0,
        "escribe un poema|escribe un cuento|escribe una historia|escribe un correo|escribe una carta|\
        escribe un ensayo|redacta|reescribe|corrige la gramática|écris un poème|écris une histoire|écris un e-mail|\
        écris un mail|écris une lettre|écris un article|rédige|rédigez|reformule|corrige les fautes|schreibe ein gedicht|\
        schreib ein gedicht|schreibe eine geschichte|schreibe eine e-mail|schreib eine e-mail|schreibe einen brief|\
        schreibe einen aufsatz|schreibe einen artikel|verfasse|formuliere|korrigiere|scrivi una poesia|scrivi una storia|\
        scrivi un'email|scrivi una lettera|scrivi un articolo|riscrivi|correggi|escreva um poema|escreva uma história|\
        escreva um e-mail|escreva um email|escreva uma carta|reescreva|corrija|schrijf een gedicht|schrijf een verhaal|\
        schrijf een e-mail|schrijf een brief|herschrijf|skriv en dikt|skriv ett brev|skriv en berättelse|skriv et digt|\
        skriv et dikt|skriv et brev|skriv en historie|kirjoita runo|kirjoita tarina|napisz wiersz|napisz opowiadanie|\
        napisz list|napisz e-mail|napiš báseň|napiš příběh|napiš dopis|scrie o poezie|scrie o poveste|írj egy verset|\
        írj egy levelet|şiir yaz|hikaye yaz|mektup yaz|e-posta yaz|напиши стих*|напиши рассказ|напиши письмо|напиши статью|\
        напиши эссе|сочини|перепиши|перефразируй|напиши вірш|напиши лист|напиши оповідання|напиши стихотворение|写一首|写一篇|\
        写一封|改写|润色|詩を書いて|物語を書いて|メールを書いて|手紙を書いて|書き直して|시를 써|이야기를 써|이메일을 작성|이메일을 써|\
        편지를 써|اكتب قصيدة|اكتب قصة|اكتب رسالة|اكتب مقال|कविता लिख|कहानी लिख|पत्र लिख|ईमेल लिख|viết một bài thơ|viết thư|\
        viết bài|tulis puisi|buatkan puisi|tulis cerita|tulis surat|tulis email",
    ),
    (
        QUESTION,
        2.0,
        "what is|what are|what was|what's|who is|who was|who wrote|who invented|when did|when was|when is|where is|\
        where was|why is|why do|why does|why are|how does|how do|how can i|how to|how is|which is|what does|what happens|\
        difference between|explain|tell me about|meaning of|define|describe|outline|definition of|capital of|is it true|can you explain",
    ),
    (
        QUESTION,
        1.0,
        "what|whose|recommend*|suggest*|advice|who|when|where|why|how|which|history of|facts|reason|compare|versus|pros and cons|\
        the following are|all of the following|best describes|according to|most likely",
    ),
    (
        QUESTION,
        2.0,
        "qué es|qué son|quién es|quién fue|cuándo|dónde está|por qué|cómo funciona|cuál es|explica|explícame|\
        qu'est-ce que|c'est quoi|qui est|quand|où se trouve|pourquoi|comment fonctionne|quelle est|quel est|explique|\
        was ist|was sind|wer ist|wer war|wann|wo ist|wo liegt|warum|wie funktioniert|erkläre|erklär mir|was bedeutet|\
        cos'è|che cos'è|chi è|chi era|dov'è|perché|come funziona|qual è|spiega|spiegami|o que é|quem é|quem foi|\
        onde fica|por que|como funciona|qual é|explique|wat is|wie is|waar ligt|waarom|hoe werkt|leg uit|vad är|vem är|\
        varför|hur fungerar|förklara|hvad er|hva er|hvem er|hvorfor|forklar|mikä on|kuka on|miksi|selitä|co to jest|\
        kim jest|dlaczego|jak działa|wyjaśnij|co je|kdo je|proč|vysvětli|ce este|cine este|de ce|mi az|ki az|miért|nedir|\
        kimdir|neden|nasıl çalışır|açıkla|что такое|кто такой|кто такая|почему|как работает|объясни|зачем|що таке|чому|\
        поясни|какво е|защо|обясни|什么是|是什么|为什么|怎么|如何|解释|とは|なぜ|教えて|説明して|무엇|왜|어떻게|설명해|ما هو|ما هي|لماذا|\
        كيف|اشرح|क्या है|क्यों|कैसे|समझा|là gì|tại sao|như thế nào|giải thích|apa itu|mengapa|bagaimana|jelaskan",
    ),
    (
        CHAT,
        2.0,
        "hello|hi|hi there|hey|good morning|good evening|good night|how are you|thank you|thanks|nice to meet you|\
        what's up|see you|goodbye|bye|let's talk|tell me a joke|i feel|i'm feeling|i am feeling",
    ),
    (
        CHAT,
        2.0,
        "hola|buenos días|buenas tardes|gracias|cómo estás|bonjour|bonsoir|salut|merci|comment ça va|hallo|guten tag|\
        guten morgen|danke|wie geht's|wie geht es|ciao|buongiorno|grazie|come stai|olá|bom dia|obrigado|obrigada|tudo bem|\
        goedemorgen|dank je|hej|tack|tak|hei|takk|moi|kiitos|cześć|dzień dobry|dziękuję|jak się masz|ahoj|dobrý den|\
        děkuji|bună|mulțumesc|szia|köszönöm|merhaba|nasılsın|teşekkürler|привет|здравствуй*|спасибо|как дела|привіт|дякую|\
        здравей|благодаря|你好|谢谢|您好|こんにちは|ありがとう|おはよう|안녕|감사합니다|مرحبا|شكرا|नमस्ते|धन्यवाद|xin chào|cảm ơn|halo|terima kasih",
    ),
    (
        CHAT,
        1.0,
        "lol|haha|how's it going|my day|i'm bored|are you|do you like|your favorite|your favourite",
    ),
];
