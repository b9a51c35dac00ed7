"""Words that every sentence of a language may hold, by language: they tell the language of a question, and
say nothing about its subject. Articles, pronouns, prepositions, auxiliaries and question words."""

from __future__ import annotations

from typing import Final

from minirag.adapters.lexical_stop_words import STOP_WORDS

_REQUESTS = {"tell", "please", "explain", "describe"}

_LISTS: Final[dict[str, str]] = {
    "german": """
der die das den dem des ein eine einen einem einer eines kein keine keinen ich du er sie es wir ihr
mich mir dich dir uns euch mein meine meinen dein deine sein seine unser unsere man sich
ist sind war waren bin bist wird werden wurde hat haben hatte habe kann können darf dürfen muss
müssen soll sollen will wollen mag möchte gibt und oder aber wenn dass als ob so nicht auch noch nur
in im an am auf aus bei beim bis durch für gegen mit nach seit um unter über von vom vor zu zum zur
was wer wen wem wessen wie wo wohin woher wann warum wieso weshalb welche welcher welches welchen
welchem viel viele lange hier da dort dies diese dieser dieses diesen bitte
""",
    "french": """
le la les l un une des du de d ce cet cette ces je j tu il elle on nous vous ils elles me m te t se s
mon ma mes ton ta tes son sa ses notre nos votre vos leur leurs est sont était être suis es sommes
êtes a ai as ont avons avez avoir peut peux doit dois faut fait et ou mais si ne n pas plus que qu
qui quoi quel quelle quels quelles comment où quand pourquoi combien y en à au aux dans par pour sur
sous avec sans entre vers chez c
""",
    "spanish": """
el la los las un una unos unas lo de del al a ante con en entre hasta para por sin sobre desde y o u e
pero si no ni que qué quién quiénes cuál cuáles cómo dónde cuándo cuánto cuánta cuántos cuántas es
son era ser soy está están estar hay ha han he tiene tienen tengo puede puedo se me te nos le les su
sus mi mis tu tus este esta estos estas ese esa eso esto yo él ella ellos
""",
    "italian": """
il lo la i gli le l un uno una di del dello della dei degli delle dell d a al allo alla ai agli alle
all da dal dalla in nel nella nei nelle nell con su sul sulla sull per tra fra e ed o ma se non che
chi cosa come dove quando perché quale quali qual quanto quanta quanti quante è sono era essere ha
hanno ho può posso deve si mi ti ci vi io tu lui lei noi voi loro mio mia tuo suo sua questo questa
""",
    "portuguese": """
o a os as um uma uns umas de do da dos das em no na nos nas ao à aos às por pelo pela para com sem
sobre entre até e ou mas se não que quem qual quais como onde quando quanto quanta quantos quantas
é são era ser sou está estão estar há tem têm tenho pode posso deve eu tu ele ela nós eles elas você
me te lhe seu sua meu minha este esta esse essa isso isto porque
""",
    "dutch": """
de het een en of maar als dat die dit deze der ik jij je u hij zij ze wij we jullie mijn jouw uw zijn
haar ons onze hun is was waren ben bent wordt worden heeft hebben had heb kan kunnen mag moet moeten
zal zullen wil er niet geen ook nog in op aan bij met naar om onder over tot uit van voor door te
wat wie waar wanneer waarom hoe welk welke veel hier daar
""",
}

FUNCTION_WORDS: Final[dict[str, frozenset[str]]] = {
    "english": STOP_WORDS["english"] | _REQUESTS,
    **{language: frozenset(words.split()) for language, words in _LISTS.items()},
}
"""By the name of the Snowball stemmer, English first."""
