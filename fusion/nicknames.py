"""First names that one child may go by: each line is a name and its usual short forms, any two of which may be meant.

A name may stand on several lines; what is on two lines does not join them (Alexander and Alexandra are both Alex). The
table only ever makes a person look at a chart, so a wrong pair costs a minute and a missing one may cost a double.
"""

from __future__ import annotations

_LINES = """
abigail abby abbie gail
abraham abe bram
adelaide addie ada heidi
alexander alex alec xander sasha lex al
alexandra alex alexa sandra sasha lexi lexie sandy
alfred alfie fred al
amanda mandy manda
andrew andy drew dre
angela angie
anna ann anne annie ana anya nancy
anthony tony anton ant
arthur art artie
barbara barb barbie babs
benjamin ben benny benji bennie
bradley brad
cameron cam
caroline carolina carrie carol callie caro
cassandra cassie cass sandra
catherine katherine kathryn kate katie kathy cathy kat kit kitty kay kaye
charles charlie chuck chas chip carlos
charlotte charlie lottie lotte char
christina christine chris chrissy tina kristina kristen christy
christopher chris kit topher kris cristopher
clara clare claire
cynthia cindy
daniel dan danny
danielle dani ellie
david dave davey davy
deborah debra deb debbie
dominic dom nick
dorothy dot dottie dolly
edward ed eddie ted teddy ned eduardo
eleanor ellie nell nora elena lenore
elijah eli lije
elizabeth liz lizzie beth betsy betty eliza lisa libby elsie ellie bess elisabeth isabel
emily em emmy emmie emilia
emma em emmy
evelyn evie eve lyn
ezekiel zeke
florence flo flora
frances fran frannie francie
francis frank frankie francisco paco
frederick fred freddie fritz
gabriel gabe
gabriella gabby gabi ella bella
gregory greg
gwendolyn gwen wendy
harold harry hal
henry hank harry hal enrique
isabella isabel bella izzy belle isa ella
jacob jake coby jacobo
jacqueline jackie
james jim jimmy jamie jem jaime
jeffrey jeff geoff geoffrey
jennifer jen jenny jenn
jeremiah jeremy jerry
jessica jess jessie
john johnny jack jon juan
jonathan jon jonny nathan
joseph joe joey jose jo pepe
josephine josie jo fifi
joshua josh
judith judy
julia julie jules juliana
katelyn kaitlyn caitlin kate katie
kenneth ken kenny
kimberly kim kimmy
lawrence larry laurie lars
leonard leo len lenny
leonardo leo leon
lillian lily lilly lil
louis lou louie luis
lucas luke luca
lucille lucy lucia lou
madeline maddie maddy maddie madeleine madelyn
madison maddie maddy
margaret maggie meg peggy greta margie marge daisy rita megan
maria mary marie mia mimi molly maya miriam
martha marty patty
matthew matt matty mateo
maximilian max
megan meg meggie
melissa mel missy lissa
mia maya
michael mike mikey mick mickey miguel mitch
mitchell mitch
mohammed mohamed muhammad mohammad mo
nathaniel nate nathan nat
nicholas nick nicky cole nico nicolas
nicole nikki nicky
oliver ollie
olivia liv livvy ollie
pamela pam
patricia pat patty tricia trish
patrick pat paddy
penelope penny nell
peter pete pedro
philip phillip phil pip
priscilla cilla
rachel rae
raymond ray
rebecca becca becky
richard rick ricky rich dick ricardo
robert rob bob bobby robbie bert roberto
roberta bobbie
ronald ron ronnie
rosemary rose rosie
samantha sam sammy
samuel sam sammy
sarah sara sally sadie
sebastian seb bastian
sophia sophie sofia
stephanie steph stephie
stephen steven steve stevie esteban
susan sue susie suzy susanna suzanne
tabitha tabby
theodore ted teddy theo
theresa teresa terry tess tessa
thomas tom tommy tomas
timothy tim timmy
tobias toby
valerie val
vanessa nessa
veronica ronnie roni vera
victor vic
victoria vicky tori vic
vincent vince vinnie
virginia ginny ginger
walter walt wally
william will bill billy willie liam guillermo
zachary zach zack zac zachariah
"""
_GROUPS = tuple(frozenset(line.split()) for line in _LINES.strip().splitlines())


def may_be_short_for(one: str, other: str) -> bool:
    """Whether two plain, lower-case first names stand on one line, in either direction."""
    return one != other and any(one in group and other in group for group in _GROUPS)
