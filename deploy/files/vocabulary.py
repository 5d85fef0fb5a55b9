"""Words that public data sets use for columns, kinds of events, and missing ids. Pure."""

import re

from schemas.events import EventKind

COLUMNS = {
    role: tuple(words.split())
    for role, words in {
        "user": (
            "user userid uid visitorid customerid customer reviewerid memberid accountid clientid profileid personid "
            "msno userhash anonymousid fullvisitorid cookieid deviceid username reviewername sessionid usersession "
            "session"
        ),
        "item": (
            "item itemid movieid productid parentasin asin bookid isbn trackid songid articleid animeid gameid appid "
            "businessid gmapid recipeid videoid showid filmid seriesid newsid postid contentid venueid placeid poiid "
            "locationid artistid albumid beerid courseid jobid goodsid listingid hotelid restaurantid jokeid mangaid "
            "podcastid episodeid clipid storyid documentid docid resourceid aid nid sku stockcode upc ean "
            "movie product track song book article video film game artist anime recipe isbn13 iid mid pid"
        ),
        "time": (
            "ts timestamp time unixreviewtime eventtime eventtimestamp datetime date createdat created createdate "
            "creationtime creationdate timestampms unixtime epoch occurredat invoicedate orderdate purchasedate "
            "transactiondate tdat reviewtime reviewdate ratingdate ratedat playedat listenedat watchedat viewedat "
            "clicktime visittime checkintime utctime localtime logtime servertime submitted submittedat updatedat "
            "dateadded day"
        ),
        "rating": (
            "rating ratings overall stars starrating score ratingvalue userrating userscore bookrating reviewrating "
            "reviewscore reviewoverall overallrating ratingscore grade rate myrating myscore"
        ),
        "kind": (
            "kind event eventtype action actiontype behavior behaviortype behaviour behaviourtype eventname "
            "interactiontype interaction activity activitytype verb eventkind type"
        ),
        "title": (
            "title itemtitle movietitle booktitle producttitle name itemname productname moviename bookname trackname "
            "songname artistname tracktitle songtitle businessname venuename gamename appname animename "
            "proddisplayname productdisplayname prodname displayname headline primarytitle originaltitle label"
        ),
        "attributes": (
            "attributes genres genre class categories category tags tag labels keywords topics topic subjects "
            "cuisines cuisine maincategory productcategory categoryname categorycode productgroupname producttypename "
            "department brand author bookauthor artist"
        ),
        "text": "text description desc summary overview plot synopsis abstract detaildesc about shortdescription",
    }.items()
}
"""Usual column names by role, normalised by `plain`, most likely first."""

ITEM_FILE_IDS = (*COLUMNS["item"], "id", "index", "key", "code")
"""Usual names of the id column in a catalogue."""

KINDS = {
    word: kind
    for kind, words in {
        EventKind.VIEW: "view views viewed pv pageview productview productviewed viewitem viewcontent detail "
        "detailview itemview impression show open visit browse read screenview "
        "removefromcart removedfromcart productremoved",
        EventKind.CLICK: "click clicks clicked clickout clickitem productclicked tap select selectitem play plays "
        "played playing listen listened stream streamed watch watched watching videoplay start checkin visited",
        EventKind.LIKE: "like likes liked fav favorite favourite favorited favourited love loved heart save saved star "
        "starred bookmark bookmarked wishlist addtowishlist addtofavorites collect upvote thumbsup thumbup follow "
        "share shared recommend recommended complete completed finish finished positive",
        EventKind.DISLIKE: "dislike disliked downvote thumbsdown thumbdown hate negative",
        EventKind.CART: "cart carts addtocart addcart addedtocart productadded basket addtobasket addtobag",
        EventKind.PURCHASE: "purchase purchases purchased buy buys bought order orders ordered transaction "
        "transactions sale sold checkout checkoutcompleted ordercompleted productpurchased paid rent rented borrow",
        EventKind.RATE: "rate rated rating review reviewed",
        EventKind.DISMISS: "dismiss dismissed skip skipped hide hidden notinterested ignore ignored",
    }.items()
    for word in words.split()
}

_NOTHING = "nan null none na n/a \\n -1 undefined nil <na> #n/a nat (null) unknown anonymous guest"
MISSING = ("", *_NOTHING.split(), "not set", "(not set)")
"""Placeholders for missing ids, in lower case."""


def plain(name: str) -> str:
    """A column or kind name in lower case, without punctuation and the type suffix of some data sets.

    >>> plain("User-ID"), plain("user_id:token")
    ('userid', 'userid')
    """
    return re.sub(r"[\W_]", "", name.split(":", 1)[0].lower()) or name.strip().lower()


def known_column(name: str) -> bool:
    """Whether this is a usual name for any role."""
    return any(plain(name) in words for words in COLUMNS.values()) or plain(name) == "id"
