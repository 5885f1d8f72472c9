"""Word lists of the offline extractor: what starts with a capital but names nothing, and what is a verb.

English only, and short on purpose: the extractor is a stand-in that needs no account anywhere, not a parser.
"""

from __future__ import annotations


def _words(text: str, *more: str) -> frozenset[str]:
    """The words of a text, and further entries that hold spaces."""
    return frozenset([*text.split(), *more])


PRONOUNS = _words(
    "i me my mine myself you your yours yourself he him his himself she her hers herself it its itself we us our "
    "ours ourselves they them their theirs themselves this that these those who whom whose which what someone "
    "somebody anyone anybody everyone everybody nobody nothing something everything one ones"
)

DETERMINERS = _words("a an the this that these those some any each every another no all both either neither")

POSSESSIVES = _words("my your his her its our their whose")

#: Month names, full and short, and their numbers.
MONTHS = {
    **{"january": 1, "february": 2, "march": 3, "april": 4, "may": 5, "june": 6},
    **{"july": 7, "august": 8, "september": 9, "october": 10, "november": 11, "december": 12},
    **{"jan": 1, "feb": 2, "mar": 3, "apr": 4, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "sept": 9, "oct": 10},
    **{"nov": 11, "dec": 12},
}

CALENDAR = (
    _words(
        "monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun "
        "today tomorrow yesterday tonight morning noon afternoon evening night midnight week weekend month year "
        "spring summer autumn fall winter christmas easter q1 q2 q3 q4 am pm utc gmt cet est pst"
    )
    | MONTHS.keys()
)

PREPOSITIONS = _words(
    "about above across after against along among around as at before behind below beneath beside between beyond by "
    "despite down during except for from in inside into like near of off on onto out outside over past since than "
    "through throughout to toward towards under until up upon via with within without per"
)

CONJUNCTIONS = _words("and or but nor so yet & plus")

#: A clause begins here: the words before it say nothing about the names after it.
CLAUSE_WORDS = _words(
    "because although though while whereas if unless whether when whenever where wherever however therefore"
)

AUXILIARIES = _words(
    "am is are was were be been being do does did done has have had having will would shall should can could may "
    "might must ought"
)

NEGATIONS = _words("not never n't no")

#: Verbs whose form does not give them away, and the commonest of the others.
VERBS = (
    _words(
        "became become becomes began begin begins bought bring brings brought build builds built buy buys came catch "
        "caught chose come comes cut drew drive drives drove eat eats fed feed feel feels fell felt find finds flew "
        "fly flies forgot fought found gave get gets give gives go goes got grew grow grows hear heard held hire hires "
        "hit hold holds join joins keep keeps kept knew know knows lead leads leave leaves led left lend lent let lie "
        "like likes live lives lost love loves made make makes mean means meant meet meets met move moves need needs "
        "own owns paid pay pays play plays put ran read reads report reports run runs said sang sat saw say says see "
        "sees sell sells send sends sent set sets ship ships show shows sing sings sit sits sold spend spends spent "
        "stand stands stood study studies support supports take takes taught teach teaches tell tells think thinks "
        "thought told took understand understood use uses visit visits want wants went win wins won work works write "
        "writes wrote"
    )
    | AUXILIARIES
)

#: Words that end like a verb (-ed, -ing, -s) and are none.
NOT_VERBS = _words(
    "need red bed seed speed feed hundred sacred king ring thing string spring evening morning wing during nothing "
    "something anything everything according including following regarding his this its as is always perhaps "
    "besides across news series business process access address class success less does yes us plus various "
    "previous famous serious yesterdays sometimes afterwards towards"
)

#: Words that open a sentence with a capital and are no name.
OPENERS = (
    _words(
        "a an the and or but nor so yet also then thus hence still even just only not no yes ok okay please thanks "
        "thank hello hi hey dear regards sincerely note notes todo fyi ps re fw fwd attn subject summary agenda "
        "first second third next last finally later earlier meanwhile moreover furthermore additionally besides "
        "instead otherwise nevertheless nonetheless overall generally usually often sometimes always never maybe "
        "perhaps apparently clearly unfortunately fortunately recently currently previously eventually suddenly "
        "there here now today how why what when where who which while whether whenever wherever whoever whatever "
        "because although though unless until since if as after before during within without despite like unlike "
        "many most more much some any all both each every either neither few several other others another such same "
        "new old good great big small best better long short high low own one two three four five six seven eight "
        "nine ten hundred thousand million billion let lets get make do did does is are was were be been being am "
        "has have had will would shall should can could may might must im ive id its thats dont doesnt didnt cant "
        "people person team company group project meeting meetings everyone everything nothing something someone "
        "customer customers user users data system systems information question questions answer answers update "
        "updates status plan plans work time day days week weeks year years way ways part parts place case "
        "ceo cto cfo coo cio ciso vp svp evp md phd hr it pr qa ai api url faq eta asap"
    )
    | PRONOUNS
    | PREPOSITIONS
    | CLAUSE_WORDS
    | CALENDAR
)

#: Small words that may stand inside a name: Bank of England, Ludwig van Beethoven.
NAME_LINKS = _words("of the de del della der den di da do dos du la le van von vom zu und y e & for")

TITLES = _words("mr mrs ms miss dr prof professor sir dame lord lady president judge captain")

ORGANIZATION_WORDS = _words(
    "inc incorporated corp corporation co company llc ltd limited plc gmbh ag sa bv nv kg oy ab "
    "group holdings bank university college institute school foundation association society agency ministry "
    "department council committee union federation labs laboratories studios partners ventures capital airlines "
    "motors systems technologies software solutions consulting museum hospital press times post"
)

LOCATION_WORDS = _words(
    "city town village county state province republic kingdom island islands lake river mountain mount valley beach "
    "bay park square street avenue road boulevard bridge airport station harbor harbour"
)

#: A few places that the examples of this project, and of graphiti, are about.
PLACES = _words(
    "london paris berlin munich hamburg vienna zurich geneva rome milan madrid barcelona lisbon dublin amsterdam "
    "brussels copenhagen stockholm oslo helsinki warsaw prague budapest athens istanbul moscow kyiv cairo lagos "
    "nairobi dubai mumbai delhi bangalore singapore tokyo osaka kyoto seoul beijing shanghai shenzhen taipei sydney "
    "melbourne auckland toronto vancouver montreal chicago boston seattle denver austin dallas houston miami atlanta "
    "england scotland ireland france germany switzerland austria italy spain portugal netherlands belgium denmark "
    "sweden norway finland poland greece turkey russia ukraine egypt nigeria kenya india china japan korea australia "
    "canada mexico brazil argentina chile peru america europe asia africa california texas florida washington",
    *("new york", "san francisco", "los angeles", "hong kong", "new zealand", "south africa", "united states"),
    *("united kingdom", "new delhi", "tel aviv", "buenos aires", "rio de janeiro", "cape town", "new york city"),
)

EVENT_WORDS = _words(
    "conference summit festival olympics championship cup war battle revolution workshop hackathon expo convention "
    "congress election awards meetup symposium"
)

#: A name that follows one of these after a verb of place is a place.
PLACE_PREPOSITIONS = _words("in near from to at")
PLACE_VERBS = _words(
    "live lives lived living move moves moved moving travel travels traveled travelled traveling travelling "
    "relocate relocates relocated reside resides resided born located based arrive arrives arrived visit visits "
    "visited fly flies flew drive drives drove opened opens"
)
#: Subjects of these are people.
PERSON_VERBS = _words(
    "said says say told tells asked asks met meets works worked lives lived moved married knows knew likes liked "
    "loves loved thinks thought believes believed wrote writes teaches taught studied studies joined hired "
    "manages managed leads led reports reported visited mentors mentored introduced founded invited called "
    "wants wanted plays played born"
)
#: The object of these verbs and prepositions is an organisation.
WORK_PHRASES = _words(
    "joined", *("works at", "worked at", "works for", "worked for", "employed by", "hired by", "ceo of", "cto of")
)
