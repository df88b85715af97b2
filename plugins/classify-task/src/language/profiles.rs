//! What tells languages of one script apart: their most frequent words, letters that few others have, and endings.
//! Lower case. What several languages share is listed with each and counts less.

use super::script::Script;

/// A language's marks.
#[derive(Debug)]
pub(crate) struct Profile {
    /// ISO 639-1.
    pub(crate) code: &'static str,
    pub(crate) script: Script,
    pub(crate) words: &'static str,
    pub(crate) letters: &'static str,
    pub(crate) endings: &'static str,
}

/// All of them; at most 64, one bit each.
pub(crate) const PROFILES: [Profile; 28] = [
    Profile {
        code: "en",
        script: Script::Latin,
        words: "the of and to in is are was were be been it this that these those for with on at by from as or an a \
                not but what which who how why when where can could would should will do does did have has had i you \
                he she we they my your his her our their me him them if then than there here about into over please \
                hello hi thanks write give make tell explain find list show help need want all some any more most \
                one two first just only also between after before using use",
        letters: "",
        endings: "ing tion tions ly ness ed ment ful less ough ould ight",
    },
    Profile {
        code: "es",
        script: Script::Latin,
        words: "el la los las un una unos unas de del y o que en es son por para con sin no se lo al como más pero sus \
                su este esta esto estos estas ese esa qué cómo cuál cuándo dónde quién por qué muy ya también hay está \
                están ser estar tiene puede puedes hacer entre sobre cuando porque donde desde hasta todo todos mi me \
                te nos yo tú usted hola gracias favor escribe explica dame necesito quiero texto cada siguiente",
        letters: "ñ",
        endings: "ción ciones mente ado ada idad amos emos aron ieron iendo ando",
    },
    Profile {
        code: "fr",
        script: Script::Latin,
        words: "le la les un une des de du et ou que qui quoi en est sont par pour avec sans ne pas se ce cette ces au \
                aux dans sur plus mais il elle ils elles nous vous je tu on son sa ses leur leurs mon ma mes votre vos \
                être avoir fait faire comme où quand comment pourquoi quel quelle quels quelles peut peux très bien \
                tout tous toute aussi entre bonjour merci texte suivant écris explique donne moi j l qu y a",
        letters: "çœêèùûîôâëï",
        endings: "tion tions ment eux euse aient ait ique eur eurs ée ées ez ons isme",
    },
    Profile {
        code: "de",
        script: Script::Latin,
        words: "der die das den dem des ein eine einen einem einer eines und oder ist sind war waren sein hat haben \
                habe wird werden wurde kann können soll sollte muss nicht kein keine mit von zu zum zur auf für aus \
                bei nach über unter vor im in am an als wie was wer wo warum wann welche welcher welches wenn aber \
                auch noch nur sich es er sie ich du wir ihr mich mir dich dir uns mein dein dies diese dieser dieses diesen diesem mache macht machen bitte danke hallo text \
                folgenden schreibe erkläre gib zwischen durch so dass daß mehr sehr hier",
        letters: "ßäöü",
        endings: "ung ungen lich keit heit isch ische ischen schaft tion ieren ten est",
    },
    Profile {
        code: "it",
        script: Script::Latin,
        words: "il lo la i gli le un uno una di del della dei delle degli dello dell a al alla ai alle da dal dalla in \
                nel nella nei con su sul sulla per tra fra e ed o che chi cosa come dove quando perché quale quali è \
                sono era essere avere ha hanno fare non più ma anche se si ci mi ti vi io tu lui lei noi voi loro mio \
                mia tuo sua suo questo questa questi queste quello molto tutto tutti ciao grazie favore testo \
                seguente scrivi spiega dammi puoi",
        letters: "ìò",
        endings: "zione zioni mente ità ando endo ato ata ati ate are ere ire aggio ezza",
    },
    Profile {
        code: "pt",
        script: Script::Latin,
        words: "o a os as um uma uns umas de do da dos das em no na nos nas por pelo pela para com sem e ou que quem \
                qual quais como onde quando porque é são foi ser estar está estão tem ter têm não mais mas também se \
                seu sua seus suas meu minha este esta isso isto esse essa ele ela eles elas nós você vocês eu me lhe \
                muito já há entre sobre até todos tudo olá obrigado obrigada favor texto seguinte escreva explique \
                pode fazer",
        letters: "ãõçêâ",
        endings: "ção ções mente dade ado ada amos aram ando endo agem ões inho",
    },
    Profile {
        code: "nl",
        script: Script::Latin,
        words: "de het een en of is zijn was waren van voor met op in aan uit bij naar over onder om te dat die dit \
                deze wat wie waar waarom wanneer hoe welke niet geen wel ook nog maar als dan er ik jij je u hij zij \
                ze wij we jullie mijn jouw zijn haar ons onze hun kan kunnen moet moeten zal zullen heeft hebben heb \
                wordt worden door tussen veel meer alle graag hallo dank alsjeblieft tekst schrijf leg uit geef volgende",
        letters: "ĳ",
        endings: "lijk lijke heid ijk ing ingen eren tje aar isch ische aat oor eel",
    },
    Profile {
        code: "sv",
        script: Script::Latin,
        words: "och att det som en ett är var på av för med till från den de inte om har hade kan ska skulle vill vad \
                vem hur varför när vilken vilket vilka jag du han hon vi ni mig dig sig min din sin detta denna dessa \
                men eller så också mycket mer alla hej tack snälla skriv förklara ge mellan under över utan finns \
                blir efter där här följande texten",
        letters: "åäö",
        endings: "ningen ningar het ade arna orna erna ande tion isk iska lig liga",
    },
    Profile {
        code: "da",
        script: Script::Latin,
        words: "og at det som en et er var på af for med til fra den de ikke om har havde kan skal skulle vil hvad \
                hvem hvordan hvorfor hvornår hvilken hvilket hvilke jeg du han hun vi i mig dig sig min din denne \
                dette disse men eller så også meget mere alle hej tak venligst skriv forklar giv mellem under over \
                uden bliver efter der her blev nogle følgende teksten",
        letters: "æøå",
        endings: "else elser hed ede erne ende tion isk iske lig lige",
    },
    Profile {
        code: "no",
        script: Script::Latin,
        words: "og at det som en et ei er var på av for med til fra den de ikke om har hadde kan skal skulle vil hva \
                hvem hvordan hvorfor når hvilken hvilket hvilke jeg du han hun vi dere meg deg seg min din denne dette \
                disse men eller så også mye mer alle hei takk vennligst skriv forklar gi mellom under over uten blir \
                etter der her ble noen følgende teksten",
        letters: "æøå",
        endings: "else elser het ene ende sjon isk iske lig lige",
    },
    Profile {
        code: "fi",
        script: Script::Latin,
        words: "ja on ei se että tämä nämä ne hän minä sinä me te he mutta tai kun jos niin myös vain kuin mitä mikä \
                kuka miten miksi milloin missä mistä ole oli olla ovat voi voit voisitko minun sinun sen ovatko kiitos \
                hei kirjoita selitä anna kanssa sekä koska joka jotka mukaan ennen jälkeen seuraava tekstin",
        letters: "äö",
        endings: "ssa ssä lla llä sta stä lta ltä minen nen ista istä tään taan iin ksi lle",
    },
    Profile {
        code: "pl",
        script: Script::Latin,
        words: "i w z na do o nie się jest są to że jak co kto kiedy gdzie dlaczego który która które po od za przez dla \
                ale lub czy tak już tylko także być był była było ma mam mieć może można ten ta te tego tej tym mnie \
                mi ci cię mój moja twój jego jej ich bardzo proszę dziękuję cześć napisz wyjaśnij podaj między oraz \
                jako przed przy tekst następujący",
        letters: "ąćęłńśźż",
        endings: "ość ości ego ych ymi ować anie enie cie emy ją ów",
    },
    Profile {
        code: "cs",
        script: Script::Latin,
        words: "a v ve z ze na do o ne se si je jsou to že jak co kdo kdy kde proč který která které po od za pro ale \
                nebo tak už jen také být byl byla bylo má mám mít může ten ta tento tato toto mi mě ty můj moje tvůj \
                jeho její jejich velmi prosím děkuji ahoj napiš vysvětli dej mezi jako před při text následující \
                jsem jste pokud i",
        letters: "ěřůčďťň",
        endings: "ost osti ého ých ými ovat ání ení ují íme ách",
    },
    Profile {
        code: "ro",
        script: Script::Latin,
        words: "și în de la cu pe pentru din un o nu este sunt că ce cum cine când unde care sau dar mai se să al ale \
                a ai lui ei lor prin după între fără foarte dacă acest această aceste acesta eu tu el ea noi voi ele \
                îmi îți mă te fi fost are am poate toate tot bună salut mulțumesc rog scrie explică dă textul următor",
        letters: "șțăîâ",
        endings: "ului ilor elor ează ește ând iune iunea rea tea ție",
    },
    Profile {
        code: "hu",
        script: Script::Latin,
        words: "a az egy és vagy nem is hogy mint de ha meg el ki be fel le van volt vannak lesz lehet kell mi mit ki \
                kit hol mikor hogyan miért melyik ez ezt azt ezek azok én te ő mi ti ők már még csak nagyon minden \
                között szerint után előtt kérlek kérem köszönöm szia írj írd magyarázd add legyen szöveget következő",
        letters: "őűéáöü",
        endings: "nak nek ban ben val vel ság ség ból ből hoz hez ért ok ek tam",
    },
    Profile {
        code: "tr",
        script: Script::Latin,
        words: "ve bir bu şu o için ile de da mi mı mu mü ne nasıl neden niçin kim nerede hangi kaç var yok değil çok \
                daha en gibi kadar ama veya ya olarak olan oldu olur ben sen biz siz onlar bana sana benim senin her \
                şey tüm bütün lütfen merhaba teşekkürler yaz açıkla ver sonra önce arasında aşağıdaki metni ise göre",
        letters: "ğışç",
        endings: "lar ler dır dir dur mak mek ları leri nın nin ında inde ıyor iyor arak erek",
    },
    Profile {
        code: "id",
        script: Script::Latin,
        words: "yang dan di ke dari untuk dengan pada adalah ini itu tidak akan sudah telah bisa dapat ada apa siapa \
                bagaimana mengapa kapan mana saya aku kamu anda dia kami kita mereka atau tetapi tapi juga lebih sangat \
                karena jika oleh dalam sebagai antara setelah sebelum tolong terima kasih halo tulis tuliskan jelaskan \
                berikan buat buatkan teks berikut seperti para",
        letters: "",
        endings: "kan nya lah annya ngan",
    },
    Profile {
        code: "vi",
        script: Script::Latin,
        words: "và của là có không được cho trong với một các những này đó khi để từ đến như thế nào gì ai ở đâu sao \
                tại tôi bạn anh chị em chúng họ hãy xin vui lòng cảm ơn chào viết giải thích về ra vào lại cũng đã \
                đang sẽ phải nên nếu thì mà nhưng hoặc rất nhiều hơn văn bản sau tiếng việt",
        letters: "đơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ",
        endings: "",
    },
    Profile {
        code: "ca",
        script: Script::Latin,
        words: "el la els les un una uns unes de del dels i o que en és són per amb sense no es al als com més però \
                seva seu aquest aquesta aquests això què quin quina quan on qui perquè molt ja també hi ha està ser \
                té pot fer entre sobre tot tots meu em et ens jo tu hola gràcies plau escriu explica text següent",
        letters: "ŀçàèò",
        endings: "ció cions ment itat tat ador eix",
    },
    Profile {
        code: "ru",
        script: Script::Cyrillic,
        words: "и в во не на я ты он она оно мы вы они что как так это этот эта эти то все всё с со по к ко у из за от \
                до для но а или же бы ли был была было были быть есть нет мне меня мой моя тебе его ее её их нам вам \
                где когда почему кто какой какая какие который которая которые если чтобы очень можно нужно при \
                между после привет пожалуйста спасибо напиши объясни дай текст следующий",
        letters: "ыэё",
        endings: "ость ости ого его ых ать ить ение ания ться ется ают ский ая ые",
    },
    Profile {
        code: "uk",
        script: Script::Cyrillic,
        words: "і й в у не на я ти він вона воно ми ви вони що як так це цей ця ці те все з із зі по до для але або ж \
                би чи був була було були бути є немає мені мене мій моя його її їх нам вам де коли чому хто який яка \
                які якщо щоб дуже можна потрібно при між після привіт будь ласка дякую напиши поясни дай текст від та",
        letters: "іїєґ",
        endings: "ість ості ого ати ити ення ання ться ють ський ється ів",
    },
    Profile {
        code: "bg",
        script: Script::Cyrillic,
        words: "и в във не на аз ти той тя то ние вие те какво как така това този тази тези всички с със по към у от до \
                за но а или ли бе беше бяха съм е са сте сме има няма ми ме мой моя му ѝ им къде кога защо кой коя \
                който която които ако да много може трябва при между след здравей моля благодаря напиши обясни дай \
                текст следния се ще",
        letters: "ъщ",
        endings: "ът ята ите ост ване ение ният ира",
    },
    Profile {
        code: "sr",
        script: Script::Cyrillic,
        words: "и у не на ја ти он она оно ми ви они шта како тако ово овај ова ови све са по ка из за од до али или \
                ли је су био била било бити има нема ми ме мој моја његов њен њихов где када зашто ко који која које \
                ако да веома може треба при између после здраво молим хвала напиши објасни дај текст се ће",
        letters: "јљњћђџ",
        endings: "ост ање ење ски ују иће",
    },
    Profile {
        code: "ar",
        script: Script::Arabic,
        words: "من في على إلى عن مع هذا هذه ذلك تلك التي الذي الذين أن إن كان كانت يكون هو هي هم أنا أنت نحن ما ماذا \
                كيف لماذا متى أين هل لا لم لن قد كل بعض بين بعد قبل أو ثم و يا مرحبا شكرا اكتب اشرح لي النص التالي",
        letters: "ةىأإؤئ",
        endings: "ات ون ين ية",
    },
    Profile {
        code: "fa",
        script: Script::Arabic,
        words: "و در به از که این آن را با است برای تا هم یک خود من تو او ما شما آنها چه چی چطور چگونه چرا کی کجا آیا \
                نه اگر ولی اما یا همه هر بین بعد قبل می باید شد شده کرد کردن لطفا سلام ممنون بنویس توضیح متن زیر",
        letters: "پچژگیک",
        endings: "های ها ان ند ید",
    },
    Profile {
        code: "ur",
        script: Script::Arabic,
        words: "کے کی کا کو میں ہے ہیں اور سے پر نے یہ وہ کہ ایک نہیں تھا تھی تھے ہو گا گی جو بھی تو ہم آپ میرا میری کیا \
                کیسے کیوں کب کہاں کون اگر لیکن یا سب ہر بعد پہلے کر کریں براہ کرم شکریہ لکھیں متن درج",
        letters: "ٹڈڑںےہھ",
        endings: "وں یں نا",
    },
    Profile {
        code: "hi",
        script: Script::Devanagari,
        words: "है हैं के का की को में से और पर ने यह वह कि एक नहीं था थी थे हो जो भी तो हम आप मैं मेरा मेरी क्या कैसे क्यों कब कहाँ \
                कौन अगर लेकिन या सब हर बाद पहले कर करें करो कृपया नमस्ते धन्यवाद लिखो लिखें बताओ बताइए समझाओ इस लिए अपने",
        letters: "",
        endings: "ों ता ती ना",
    },
    Profile {
        code: "mr",
        script: Script::Devanagari,
        words: "आहे आहेत आणि च्या चा ची चे ला मध्ये हे ही हा ते ती तो एक नाही होते होता होती काय कसे का कधी कुठे कोण जर पण \
                किंवा सर्व नंतर करा कृपया नमस्कार धन्यवाद लिहा सांगा मी तुम्ही आम्ही माझा माझी या साठी",
        letters: "ळ",
        endings: "च्या ांना ाचे ाची",
    },
];
