"""What the log keeps of arguments: no secret, whatever it stands under and however deep, and everything else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act.audit.redaction import Keeping, Mode
from act.audit.secret_names import SECRET_NAMES
from act.audit.values import MARK
from act.redact_patterns import MAX_PATTERN, plain_name, redact_pattern_fault
from act.text import has_secret

REDACTED = Keeping()
OWN_KEY = "act_0123abcd_" + "Zm9vYmFyYmF6cXV4" * 2
OWN_TOKEN = "eyJhbGciOiJSUzI1NiJ9." + "eyJqdGkiOiJ0b2tfMSJ9QUJD" + "." + "c2lnbmF0dXJlLXNpZ25hdHVyZQ"

# Each with the piece of it that may not be seen; in halves, so that no scanner takes this file for a leak.
LOOKS = {
    "own key": (OWN_KEY, OWN_KEY[13:]),
    "own token": (OWN_TOKEN, OWN_TOKEN.split(".")[1]),
    "bearer": ("Bearer s3cr3tvalue", "s3cr3tvalue"),
    "bearer in small letters": ("bearer s3cr3t", "s3cr3t"),
    "AWS": ("AKIA" + "IOSFODNN7EXAMPLE", "IOSFODNN7EXAMPLE"),
    "GitHub": ("ghp_" + "a1B2" * 9, "a1B2a1B2"),
    "GitHub, fine-grained": ("github_pat_" + "a1B2_" * 8, "a1B2_a1B2"),
    "GitLab": ("glpat-" + "a1B2-" * 4, "a1B2-a1B2"),
    "Slack": ("xoxb-" + "1234567890-abcdefghij", "abcdefghij"),
    "Slack hook": ("https://hooks.slack.com/services/" + "T0/B0/abcdefghij", "abcdefghij"),
    "Stripe": ("sk_live_" + "a1B2c3D4e5F6", "a1B2c3D4"),
    "webhook secret": ("whsec_" + "a1B2c3D4e5F6a1B2c3D4", "a1B2c3D4"),
    "OpenAI": ("sk-proj-" + "a1B2c3D4" * 4, "a1B2c3D4"),
    "Google": ("AIza" + "a1B2c3D4e" * 4, "a1B2c3D4e"),
    "Hugging Face": ("hf_" + "a1B2c3D4e" * 4, "a1B2c3D4e"),
    "npm": ("npm_" + "a1B2c3D4e" * 4, "a1B2c3D4e"),
    "SendGrid": ("SG." + "a1B2c3D4e5F6a1B2." + "g7H8i9J0k1L2g7H8", "g7H8i9J0"),
    "Twilio": ("SK" + "0123456789abcdef" * 2, "0123456789abcdef"),
    "Telegram": ("https://api.telegram.org/bot1234567890:AA" + "a1B2c3D4-" * 4 + "/getMe", "a1B2c3D4"),
    "Discord": ("https://discord.com/api/webhooks/" + "123456789012345678/" + "a1B2c3D4-" * 4, "a1B2c3D4"),
    "Shopify": ("shpat_" + "0123456789abcdef" * 2, "0123456789abcdef"),
    "Vault": ("hvs." + "a1B2c3D4-" * 4, "a1B2c3D4"),
    "Grafana": ("glsa_" + "a1B2c3D4_" * 4, "a1B2c3D4"),
    "Notion": ("ntn_" + "a1B2c3D4e" * 4, "a1B2c3D4e"),
    "Docker": ("dckr_pat_" + "a1B2c3D4-" * 4, "a1B2c3D4"),
    "DigitalOcean": ("dop_v1_" + "0123456789abcdef" * 4, "0123456789abcdef"),
    "age": ("AGE-SECRET-KEY-1" + "A1B2C3D4" * 5, "A1B2C3D4"),
    "private key": ("-----BEGIN RSA PRIVATE " + "KEY-----\nMIIB+x/y\n-----END RSA PRIVATE KEY-----", "MIIB"),
    "private key, cut off": ("-----BEGIN PRIVATE " + "KEY-----\nMIIB+x/y", "MIIB"),
    "user info": ("postgres://me:hunter2@db.example/x", "hunter2"),
    "user info alone": ("https://hunter2@example.com", "hunter2"),
    "card": ("4111111111111111", "4111111111111111"),
    "card in groups": ("4111 1111 1111 1111", "1111 1111"),
    "card with dashes": ("3782-822463-10005", "822463"),
    "social security": ("123-45-6789", "123-45-6789"),
    "assignment": ("DB_PASSWORD=hunter2", "hunter2"),
    "query": ("https://example.com/x?api_key=hunter2&y=1", "hunter2"),
    "option": ("login --password hunter2 --user me", "hunter2"),
    "option with =": ("login --client-secret=hunter2", "hunter2"),
    "quoted": ("x = \"password='hunter2 is long'\"", "is long"),
    "JSON": ('{"apiKey": "hunter2, and more"}', "and more"),
    "JSON in JSON": ('{\\"secret\\": \\"hunter2\\"}', "hunter2"),
    "header": ("Authorization: Basic aHVudGVyMg==", "aHVudGVyMg"),
    "cookies": ("Cookie: a=b; session=hunter2", "hunter2"),
    "cookies in quotes": ('Cookie: a="b"; session=hunter2', "hunter2"),
    "digest": ('Authorization: Digest username="me", response="hunter2"', "hunter2"),
    "column of spaces": ("password      = hunter2", "hunter2"),
    "column of tabs": ("password:\t\t\t\t\t\thunter2", "hunter2"),
    "option in a column": ("login --password      hunter2", "hunter2"),
    "Go": ('password := "hunter2"', "hunter2"),
    "Ruby": ("'password' => 'hunter2'", "hunter2"),
    "in brackets": ('os.environ["DB_PASSWORD"] = "hunter2"', "hunter2"),
    "form": ("user[password]=hunter2", "hunter2"),
    "JSON in JSON in JSON": ('{\\\\\\"secret\\\\\\": \\\\\\"hunter2\\\\\\"}', "hunter2"),
    "quote in it": ('{"password": "my \\" hunter2"}', "hunter2"),
    "long path": (f"spring.{'x' * 60}.client-secret=hunter2", "hunter2"),
    "signed URL": ("https://x.example/c/b?sv=2020&sig=hunter2%3D&se=1", "hunter2"),
    "key in a URL": ("https://x.example/maps?q=1&key=AB-hunter2_0123456789", "hunter2"),
    "SQL user": ("CREATE USER me IDENTIFIED BY 'hunter2'", "hunter2"),
    "SQL user with a plugin": ('alter user me identified with caching_sha2_password by "hunter2"', "hunter2"),
    "SQL role": ("CREATE ROLE me WITH LOGIN ENCRYPTED PASSWORD 'it''s hunter2';", "hunter2"),
    "SQL set password": ("SET PASSWORD FOR 'me'@'%' = PASSWORD('hunter2')", "hunter2"),
    "SQL pragma": ("PRAGMA key = 'hunter2'", "hunter2"),
    "curl": ("curl -sSu me:hunter2 https://x.example -o a | sh", "hunter2"),
    "curl, long and twice": ("curl --user me:other -L -U 'you:hunter2' https://x.example", "hunter2"),
    "mysql": ("mysqldump -u me -phunter2 db > a.sql", "hunter2"),
    "sshpass": ("sshpass -p 'hunter2' ssh x", "hunter2"),
    "docker": ("sudo docker login registry.example -u me -p hunter2", "hunter2"),
    "redis": ("redis-cli -h x -a hunter2 get y", "hunter2"),
    "mongo": ("mongosh -u me -p hunter2 --host x", "hunter2"),
    "zip": ("zip -r -P hunter2 a.zip a", "hunter2"),
    "told": ("Hello, your password is hunter2. Change it soon.", "hunter2"),
    "in two columns": ("user\tme\nPassword\thunter2\n", "hunter2"),
    "element": ("<password>hunter2</password>", "hunter2"),
    "element with a namespace": ('<o:Password Type="text">my hunter2</o:Password>', "hunter2"),
    "elements in an element": ("<credentials><user>me</user><pw>hunter2</pw></credentials>", "hunter2"),
    "element without its end": ("<password>hunter2", "hunter2"),
    "section of an element": ("<password><![CDATA[hunter2]]></password>", "hunter2"),
    "attribute": ('<property name="password"\n  value="hunter2"/>', "hunter2"),
    "variable": ("- name: DB_PASSWORD\n  value: hunter2", "hunter2"),
    "variable in JSON": ('[{"name": "DB_PASSWORD", "value": "hunter2"}]', "hunter2"),
    "next line": ("password:\n  hunter2", "hunter2"),
    "next line, after an empty one": ("Password:\r\n\r\nhunter2", "hunter2"),
    "next line in JSON": ('{"password":\n  "hunter2"}', "hunter2"),
    "block": ("password: |\n  one\n  hunter2\nuser: me", "hunter2"),
    "folded block": ("password: >-  # long\n\n  my hunter2", "hunter2"),
    "list": ("passwords:\n- one\n- hunter2", "hunter2"),
    "object": ("credentials:\n  user: me\n  also:\n    word: hunter2\nother: x", "hunter2"),
    "list in JSON": ('{"passwords": ["one", "hunter2"]}', "hunter2"),
    "list in JSON in JSON": ('{\\"passwords\\": [\\"a]\\", \\"hunter2\\"]}', "hunter2"),
    "object in JSON": ('{"auth": {"kind": "basic", "word": "hunter2"}}', "hunter2"),
    "percent": ("password%3Dhunter2", "hunter2"),
    "percent in a query": ("x%3D1%26password%3dhunter2%26y%3D1", "hunter2"),
    "percent twice": ("user%255Bpassword%255D%253Dhunter2", "hunter2"),
    "percent in JSON": ("%7B%22password%22%3A%20%22hunter2%22%7D", "hunter2"),
    "user info with percent": ("https%3A%2F%2Fme%3Ahunter2%40example.com", "hunter2"),
    "bearer with percent": ("Bearer%20s3cr3tvalue", "s3cr3tvalue"),
    "HTML": ("&quot;password&quot;:&quot;hunter2&quot;", "hunter2"),
    "HTML by numbers": ("password&#61;hunter2 password&#x3d;hunter2", "hunter2"),
    "element in HTML": ("&lt;password&gt;hunter2&lt;/password&gt;", "hunter2"),
    "escapes of JSON": ("password\\u003dhunter2", "hunter2"),
    "bytes": ("api_key = b'hunter2'", "hunter2"),
    "format": ('API_KEY = f"hunter2"', "hunter2"),
    "raw": ("client = Client(api_key=r'hunter2')", "hunter2"),
    "three quotes": ('secret = """\nmy hunter2\n"""', "hunter2"),
    "three quotes of the other kind": ("secret = '''my 'hunter2'''", "hunter2"),
    "quote in quotes": ("password: 'it''s hunter2'", "hunter2"),
    "sum": ("password = 'a' + 'hunter2'", "hunter2"),
    "type": ("token: str = 'hunter2'", "hunter2"),
    "type of TypeScript": ('const token: string = "hunter2"', "hunter2"),
    "type of Rust": ('let token: Option<&str> = Some("hunter2")', "hunter2"),
    "type with another": ("token: str | None = 'hunter2'", "hunter2"),
    "constructor": ('String password = new String("hunter2");', "hunter2"),
    "default": ("api_key=os.getenv('K', 'hunter2')", "hunter2"),
    "default of a name": ("os.getenv('DB_PASSWORD', 'hunter2')", "hunter2"),
    "variable that is set": ('os.putenv("PASSWORD", "hunter2")', "hunter2"),
    "basic of a library": ("get(url, HTTPBasicAuth('me', 'hunter2'))", "hunter2"),
    "pair of Python": ("get(url, auth=('me', 'hunter2'))", "hunter2"),
    "header of Python": ("headers = {'Authorization': f'Basic hunter2'}", "hunter2"),
    "update": ("password ||= 'hunter2'", "hunter2"),
    "semicolon in it": ("DB_PASSWORD=ab;hunter2", "hunter2"),
    "ampersand in it": ("password=ab&hunter2", "hunter2"),
    "comma in it": ("x(password=ab,hunter2)", "hunter2"),
    "Azure": ("AccountName=n;AccountKey=hunter2==;EndpointSuffix=x", "hunter2"),
    "form of parts": ('form-data; name="password"\r\n\r\nmy hunter2\r\n--x', "hunter2"),
    "form of parts with a type": ('name="password"; x=y\r\nContent-Type: text/plain\r\n\r\nhunter2', "hunter2"),
    "no-break space": ("password\u00a0= hunter2", "hunter2"),
    "attribute before its name": ("<add value='my hunter2' key='password'/>", "hunter2"),
    "bearer in letters of both kinds": ("BeArEr s3cr3tvalue", "s3cr3tvalue"),
    "basic": ("Basic dXNlcjpodW50ZXIy", "dXNlcjpodW50ZXIy"),
    "basic in small letters": ("with basic dXNlcjpodW50ZXIyIQ==.", "dXNlcjpodW50ZXIy"),
    "card with dots": ("4111.1111.1111.1111", "1111.1111"),
    "card with no-break spaces": ("4111\u00a01111\u00a01111\u00a01111", "1111"),
    "letter with percent": ("pass%77ord=hunter2", "hunter2"),
    "letter as JSON escapes it": ('{"pass\\u0077ord": "hunter2"}', "hunter2"),
    "letter as HTML escapes it": ("pass&#119;ord=hunter2", "hunter2"),
    "named entities": ("password&equals;hunter2 password&colon;hunter2", "hunter2"),
    "tokens": ('auth_tokens = "hunter two"', "hunter"),
    "tokens in JSON in JSON": ('{\\"tokens\\": \\"hunter\\"}', "hunter"),
    "tokens without quotes": ("tokens=a1b2c3d4e5", "a1b2c3d4e5"),
    "curl in lines": ("curl \\\n  -X GET \\\n\t-u me:hunter2 https://x.example", "hunter2"),
    "curl behind a quoted semicolon": ("curl -H 'Accept: a;q=1|b' -u me:hunter2 https://x.example", "hunter2"),
    "curl behind a long body": (f"curl -d '{'x' * 900}' -u me:hunter2 https://x.example", "hunter2"),
    "curl in pieces": ("curl.exe -u 'me':'hunter2' https://x.example", "hunter2"),
    "httpie": ("http -a me:hunter2 GET x.example", "hunter2"),
    "smbclient": ("smbclient //a/b -U me%hunter2", "hunter2"),
    "rar": ("rar a -hphunter2 a.rar a", "hunter2"),
    "netrc": ("machine x.example login me password hunter2", "hunter2"),
    "SQL text of letters beyond ASCII": ("CREATE LOGIN me WITH PASSWORD = N'hunter2'", "hunter2"),
    "SQL escaped text": ("ALTER ROLE me PASSWORD E'hunter2'", "hunter2"),
    "SQL in dollars": ("ALTER ROLE me PASSWORD $$hunter2$$", "hunter2"),
    "SQL user without quotes": ("CREATE USER me IDENTIFIED BY hunter2 QUOTA 1M ON x", "hunter2"),
    "text of a shell": ("password=$'hunter2'", "hunter2"),
    "text of C#": ('password = @"my hunter2";', "hunter2"),
    "curly quotes": ("password: \u201cmy hunter2\u201d, \u201ex\u201c", "hunter2"),
    "name in two words": ("API key: hunter2", "hunter2"),
    "name in three words": ("AWS secret access key = hunter2", "hunter2"),
    "Markdown": ("- **Password:** hunter2", "hunter2"),
    "Markdown, the colon outside": ("**Password**: hunter2", "hunter2"),
    "Markdown code": ("`password`: hunter2", "hunter2"),
    "Markdown with both": ("**API Key**: `hunter2`", "hunter2"),
    "Markdown table": ("| user | me |\n| Password | `hunter2` |", "hunter2"),
    "bold": ("<b>Password:</b> hunter2", "hunter2"),
    "told in German": ("Ihr Passwort lautet: hunter2", "hunter2"),
    "German": ("Kennwort: hunter2", "hunter2"),
    "in a column of spaces": ("User      me\nPassword  hunter2", "hunter2"),
    "pair with more between": ('{"name": "password", "type": "x", "value": "hunter2"}', "hunter2"),
    "pair of a query": ("name=password&value=hunter2", "hunter2"),
    "field of a page": ('<input name="password" id="p" type="password" value="hunter2">', "hunter2"),
    "list of tokens": ('auth_tokens = [ "hunter2", "x" ]', "hunter2"),
    "no value and then one": ("a = {password: null}; password=hunter2", "hunter2"),
    "tokens longer than most": ("tokens='" + "a1" * 200 + " hunter2'", "hunter2"),
}
PAIRS = [
    {"env": [{"name": "DB_PASSWORD", "value": "hunter2"}]},
    {"Tags": [{"Key": "api-key", "Value": ["hunter2"]}]},
    {"headers": [["Authorization", "hunter2"], ["Accept", "*/*"]]},
    {"argv": ["login", "--password", "hunter2"]},
    {"argv": ["login", "-password", "hunter2"]},
    {"argv": ["login", "--db-password", "-hunter2"]},
    {"headers": [{"name": "Authorization", "values": ["hunter2"]}]},
    {"env": [{"NAME": "DB_PASSWORD", "VALUE": "hunter2"}]},
    {"element": "Password field", "ref": "e5", "text": "hunter2"},
    {"selector": "input[name=password]", "value": "hunter2"},
    {"tokens": ["hunter2"], "access_tokens": {"a": {"b": [1, "hunter2"]}}, "pins": "hunter2"},
]
SENTENCES = ["passphrase: correct horse hunter2", "a: b\n- password: correct horse, hunter2\nc: d"]
HARMLESS = [
    "please pay the invoice 4711",
    "finance@example.com",
    "https://example.com:8080/a/b?page=2&max_tokens=500",
    "2026-11-22T18:00:00.123Z",
    "1700000000000",
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "risk-assessment-of-the-quarterly-report",
    "def total(items):\n    return sum(item.price for item in items)\n",
    "a == b, x: 1, --verbose",
    "Wir müssen über den Vertrag sprechen: bitte um 10:30",
    "+49 30 901820",
    "if token:\n    return check(token)\n",
    "class ApiToken:\n    name = 'x'\n",
    "Usage: login <password> [<user>]",
    "<p>Dear all, x &gt; y</p><token/><password></password>",
    "password:\nuser: me\ntokens: []",
    "100%25 of 3%3D1, https://example.com/?next=https%3A%2F%2Fexample.com%2Fb%3Fx%3D1",
    "- name: HOST\n  value: x\n",
    "List<Token> found = new List<Token>();",
    "max_tokens=500, total_tokens: 7, tokens: 5000 a minute",
    '{"max_tokens": 500, "tokens": {"in": 5}}',
    "tokens = tokenizer(text)\nmax_tokens=self.max_tokens\ntokens: int = 0",
    "The compass: north. I bypass it=1; pins: 4, 5",
    "Basic authentication, Basic Understanding and basic OpenTelemetry for everybody",
    "version 1.2.3.4 at 10.20.30.40:8080, 45.1234567890123, 4111.5555.3333",
    'call("name", "value") or ("team", "x"), name=y\r\n\r\nfoo',
    "50%45 and %41lpha &amp; 100%ab",
    "docker run -p 8080:80 nginx; ssh -p 2222 x; mkdir -p /a/b1; psql -U me -p 5432",
    "curl -X POST -d @f1 https://x.example/y; curl -u me https://x.example; python -u run1.py; git push -u origin main",
    "The password is required. The token is expired, the token was renewed. Reset the password for 'me'.",
    "Bearer tokens, a bearer authentication and the Bearer scheme",
    "def login(user: str, password: str) -> bool: ...\nif (token == null) return None\npassword=None, b",
    "interface Login { password: string; token: string }",
    "if password == \"\":\n    password = ''",
    "the token is 5 long, the password is 8 characters; token is v2",
    "primary key: id, error code: 500, the number: 5, phone number: 1, country code=49",
    '{"element": "Send button", "text": "password"}',
    '[{"name": "token", "id": 1}, {"value": 5}]',
    "git clone ssh://git@git.example.com:22/a/b.git",
    "echo $TOKEN | base64; cat token | sha256sum",
    "CREATE TABLE people (\n  name      text,\n  password  varchar(255),\n  token     int8)",
    "The user was identified by somebody, with login by password authentication.",
    "SELECT identified, password FROM people WHERE pin IS NULL -- GET /v1?key=orders-of-the-day",
]
COUNTS = {"prompt_tokens": 5, "total_tokens": "7", "tokens": [1, 2], "token_details": {"cached_tokens": 0}, "pins": [4]}

_SECRET = """
    password PassWord userPassword user_password user-password DB.PASSWORD passwd secret clientSecret token accessToken
    refresh_token api_key apikey X-Api-Key Authorization proxy-authorization Cookie set-cookie private_key privateKey
    credential credentials ssn cardNumber credit_card cvv pin otp ｐａｓｓｗｏｒｄ PASSWORD sessionId token_value
    refresh_token_new jwts db_pass smtpPass accountKey master_key sshKey bearer security_code authToken2 pwd2
"""
_MORE = "DB_PW pw Passwort kennwort contraseña POSTGRES_PASS appKey Ocp-Apim-Subscription-Key PHPSESSID backup_codes"
_OTHERS = "amount max_tokens tokens passenger passage author keyword card note spin pinned compass bypass auth0 pins"
SECRET, OTHERS = f"{_SECRET} {_MORE}".split(), _OTHERS.split()

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LEAVES = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS | st.sampled_from(HARMLESS)


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    values = st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=10
    )
    return st.dictionaries(TEXTS, values, max_size=4)


SECRETS = st.sampled_from([look for look, _ in LOOKS.values()])
ARGUMENTS = nested(LEAVES | SECRETS)


def inside(value: Any, leaf: Any, path: list[str | int]) -> Any:
    """`leaf` somewhere below `value`."""
    for step in path:
        leaf = {step: leaf} if isinstance(step, str) else [*[0] * step, leaf]
    return value | {"below": leaf}


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def shown(arguments: Any, keeping: Keeping = REDACTED) -> str:
    return json.dumps(keeping.kept(arguments), ensure_ascii=False)


PATHS = st.lists(st.sampled_from(["a", "b c", "ü"]) | st.integers(0, 2), max_size=6)


# --- what looks like a secret ---


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_is_known_wherever_it_stands(name: str) -> None:
    look, piece = LOOKS[name]
    for arguments in ({"x": look}, {"x": [[{"y": look}]]}, {"x": f"so: ({look}\n)"}, {f"{look}": 1}, {"x": {look: {}}}):
        kept = shown(arguments)
        assert piece not in kept
        assert MARK in kept


@pytest.mark.parametrize("arguments", PAIRS, ids=range(len(PAIRS)))
def test_a_name_is_known_beside_its_value(arguments: dict[str, Any]) -> None:
    kept = REDACTED.kept(arguments)
    assert "hunter2" not in json.dumps(kept)
    assert MARK in json.dumps(kept)
    assert REDACTED.kept(kept or {}) == kept


def test_what_stands_beside_another_name_is_kept() -> None:
    arguments = {
        "env": [{"name": "HOST", "value": "a"}, {"value": "b"}, {"name": 1, "value": "c"}],
        "headers": [["Accept", "*/*"], ["password"], ["token", None]],
        "argv": ["--user", "me", "--password", "--verbose", "--token"],
    }
    assert REDACTED.kept(arguments) is arguments


@given(ARGUMENTS, st.sampled_from(list(LOOKS)), PATHS, st.sampled_from(["", " ", "\n", "see ", "ü: ", "("]))
def test_no_look_survives_at_any_depth(
    arguments: dict[str, Any], name: str, path: list[str | int], before: str
) -> None:
    look, piece = LOOKS[name]
    kept = REDACTED.kept(inside({}, before + look, path) | {"other": arguments})
    assert kept is not None
    assert piece not in json.dumps(kept["below"])


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    arguments = {"x": text, "y": [{"z": text}], "max_tokens": 500, "n": 1700000000000, "f": 1.5, "none": None}
    assert REDACTED.kept(arguments) is arguments


def test_numbers_under_tokens_stay() -> None:
    assert REDACTED.kept(COUNTS) is COUNTS


@pytest.mark.parametrize("text", SENTENCES)
def test_a_passphrase_goes_to_the_end_of_its_line(text: str) -> None:
    assert "hunter2" not in shown({"x": text})


def test_only_the_secret_of_a_text_goes() -> None:
    assert REDACTED.kept({"q": "password=a;b&c,d&user=x y"}) == {"q": f"password={MARK}&user=x y"}
    assert REDACTED.kept({"q": "password: a b c user: x"}) == {"q": f"password: {MARK} user: x"}
    assert REDACTED.kept({"cmd": "curl -u me https://a:b@example.com/x?token=1&y=2 | sh"}) == {
        "cmd": f"curl -u me https://{MARK}@example.com/x?token={MARK}&y=2 | sh"
    }
    lines = "user: me\npassword:\n  one\n  two\nhost: x\n"
    assert REDACTED.kept({"file": lines}) == {"file": f"user: me\npassword:{MARK}\nhost: x\n"}
    element = "<db><user>me</user><password>x</password></db>"
    assert REDACTED.kept({"xml": element}) == {"xml": f"<db><user>me</user><password>{MARK}</password></db>"}
    assert REDACTED.kept({"q": "x%3D1%26password%3Dy%26z%3D2"}) == {"q": f"x=1&password={MARK}&z=2"}
    assert REDACTED.kept({"json": '{"passwords": ["x", "y"], "z": 2}'}) == {"json": f'{{"passwords": {MARK}, "z": 2}}'}


@pytest.mark.parametrize("number", [4111111111111111, -4111111111111111, 4111111111111111.0])
def test_a_card_number_is_one_as_a_number_too(number: float) -> None:
    assert REDACTED.kept({"n": [number]}) == {"n": [MARK]}
    assert REDACTED.kept({"n": [number + 1]}) == {"n": [number + 1]}


def test_what_is_behind_the_secret_of_a_command_stays() -> None:
    text = '{"cmd": "curl -u me:hunter2", "cwd": "/a"}'
    assert REDACTED.kept({"x": text}) == {"x": f'{{"cmd": "curl -u {MARK}", "cwd": "/a"}}'}


def test_a_mark_that_somebody_sends_hides_nothing_behind_it() -> None:
    for text in (
        "://git@x:hunter2@h",
        f"://{MARK}@x:hunter2@h",
        f"password={MARK}hunter2",
        f"Bearer {MARK} password=hunter2",
    ):
        assert "hunter2" not in shown({"x": text})


# --- what stands under a name ---


@pytest.mark.parametrize("name", SECRET)
@pytest.mark.parametrize("value", ["x", 1234, True, ["a"], {"a": 1}, ""], ids=repr)
def test_everything_under_the_name_of_a_secret_goes(name: str, value: Any) -> None:
    assert REDACTED.kept({"a": [{name: value, "b": 1}]}) == {"a": [{name: MARK, "b": 1}]}


@given(ARGUMENTS, PATHS, st.sampled_from(["password", "API-Key", "x_secret_x", "auth"]), nested(LEAVES))
def test_nothing_below_such_a_name_survives(
    arguments: dict[str, Any], path: list[str | int], name: str, value: dict[str, Any]
) -> None:
    kept = REDACTED.kept(inside({}, {name: value | {"m": "hunter2"}}, path) | {"other": arguments})
    assert kept is not None
    assert "hunter2" not in json.dumps(kept["below"])


@pytest.mark.parametrize("name", OTHERS)
def test_other_names_are_left_alone(name: str) -> None:
    assert REDACTED.kept({name: 5}) == {name: 5}


def test_null_under_the_name_of_a_secret_says_that_there_was_none() -> None:
    assert REDACTED.kept({"password": None}) == {"password": None}


def test_names_that_become_the_same_are_told_apart() -> None:
    names = [OWN_KEY, OWN_KEY[:-1] + "X", OWN_KEY[:-1] + "Y"]
    kept = REDACTED.kept({names[0]: 1, MARK: 2, names[1]: 3, f"{MARK} 2": 4, names[2]: 5})
    assert kept is not None
    assert sorted(kept.values()) == [1, 2, 3, 4, 5]
    assert (kept[MARK], kept[f"{MARK} 2"]) == (2, 4)
    assert REDACTED.kept(kept) is kept


# --- laws ---


@given(ARGUMENTS)
def test_redaction_is_idempotent(arguments: dict[str, Any]) -> None:
    once = REDACTED.kept(arguments)
    assert once is not None
    assert REDACTED.kept(once) == once


@given(ARGUMENTS)
def test_what_is_kept_has_the_shape_of_what_was_sent(arguments: dict[str, Any]) -> None:
    before = json.dumps(arguments)
    kept = REDACTED.kept(arguments)
    assert kept is not None
    assert len(kept) == len(arguments)
    assert json.dumps(arguments) == before, "what a decision rests on was changed"
    assert (kept is arguments) or kept != arguments


@given(ARGUMENTS, PATHS, st.sampled_from([OWN_KEY, OWN_TOKEN]))
def test_our_own_tokens_and_keys_are_in_no_mode(arguments: dict[str, Any], path: list[str | int], own: str) -> None:
    modes: tuple[Mode, ...] = ("redacted", "full")
    for mode in modes:
        kept = Keeping(mode).kept(inside(arguments, {own: f"x {own}"}, path))
        assert not any(has_secret(text) for text in strings(kept))


def test_full_keeps_the_rest_and_none_nothing() -> None:
    arguments = {"password": "hunter2", "card": "4111111111111111", "a": [{"url": "https://a:b@c"}]}
    assert Keeping("full").kept(arguments) is arguments
    assert Keeping("full", ("card",)).kept(arguments) is arguments
    assert Keeping("none").kept(arguments) is None


# --- patterns of the tenant ---


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("phone", {"c": [{"mail": "m", "x": 1}], "Phone-No": 2, "phone": MARK, "7": 0}),
        ("phone*", {"c": [{"mail": "m", "x": 1}], "Phone-No": MARK, "phone": MARK, "7": 0}),
        ("P_H-O n.e*", {"c": [{"mail": "m", "x": 1}], "Phone-No": MARK, "phone": MARK, "7": 0}),
        ("*a*i*", {"c": [{"mail": MARK, "x": 1}], "Phone-No": 2, "phone": 3, "7": 0}),
        ("*", {"c": MARK, "Phone-No": MARK, "phone": MARK, "7": MARK}),
        ("/c", {"c": MARK, "Phone-No": 2, "phone": 3, "7": 0}),
        ("/c/0/mail", {"c": [{"mail": MARK, "x": 1}], "Phone-No": 2, "phone": 3, "7": 0}),
        ("/*/*/m*", {"c": [{"mail": MARK, "x": 1}], "Phone-No": 2, "phone": 3, "7": 0}),
        ("/c/1/mail", None),
        ("/mail", None),
        ("/Phone-no", None),
        ("mai", None),
    ],
)
def test_a_pattern_redacts_besides(pattern: str, kept: Any) -> None:
    arguments = {"c": [{"mail": "m", "x": 1}], "Phone-No": 2, "phone": 3, "7": 0}
    assert redact_pattern_fault(pattern) is None
    assert Keeping("redacted", (pattern,)).kept(arguments) == (kept or arguments)
    assert Keeping("redacted", (pattern,)).kept({"password": "x"}) == {"password": MARK}


def test_a_pointer_spells_names_as_rfc_6901_does() -> None:
    keeping = Keeping("redacted", ("/a~1b/m~0n", "/"))
    assert keeping.kept({"a/b": {"m~n": 1, "o": 2}, "": 3}) == {"a/b": {"m~n": MARK, "o": 2}, "": MARK}


@pytest.mark.parametrize(
    "pattern", ["", "-_.", "x" * (MAX_PATTERN + 1), "*" * 9, "a\nb", "/a~", "/a~2", "/a/ b"], ids=repr
)
def test_what_is_no_pattern_is_refused_with_a_sentence(pattern: str) -> None:
    fault = redact_pattern_fault(pattern)
    assert fault
    assert fault.endswith(".")


def test_the_names_that_are_always_there_are_patterns() -> None:
    assert len(set(SECRET_NAMES)) == len(SECRET_NAMES)
    for name in SECRET_NAMES:
        assert redact_pattern_fault(name) is None
        assert plain_name(name) == name


# --- time ---

HOSTILE = {
    "digits": "4" * 16_000,
    "groups of digits": "44 00 " * 2_600,
    "assignments": "aa=" * 5_000,
    "names": "a-" * 8_000,
    "secrets": "password=x " * 1_400,
    "schemes": "://" * 5_000,
    "users": "://" + "a@" * 7_000,
    "begins": "-----BEGIN " * 1_400,
    "keys": "-----BEGIN PRIVATE " + "KEY-----" * 1_900,
    "tokens": "eyJ" * 5_000,
    "parts": "eyJ." * 4_000,
    "quotes": 'pwd="' * 3_000,
    "open quotes": "'password: \"" * 1_300,
    "spaces": "password" + " " * 15_000,
    "options": "--pw " * 3_000,
    "backslashes": "\\" * 16_000,
    "letters": "A" * 16_000,
    "elements": "<pin>" * 3_200,
    "elements without an end": "<pw a" * 3_200,
    "different elements": "".join(f"<pwd{n}>" for n in range(1_800)),
    "names in lines": "pwd:\n" * 3_200,
    "empty lines": "pwd:\n" + "  \n" * 5_000,
    "blocks": "pwd:\n -\n" * 2_000,
    "deeper and deeper": "".join(f"{' ' * n}pwd:\n" for n in range(170)),
    "brackets": "pwd=[" * 3_200,
    "empty brackets": "pwd=[]" * 2_600,
    "brackets in brackets": "pwd=" + "[" * 8_000 + "]" * 8_000,
    "percent": "%3D" * 5_300,
    "percent of percent": "%25" * 5_300,
    "escaped names": "pwd%3D" * 2_600,
    "entities": "&#61;" * 3_200,
    "pairs": "key=pwd value " * 1_100,
    "names of pairs": "name:" * 3_200,
}
LONG = {
    "schemes of RFC 7617": "basic dXNl",
    "three quotes": 'pwd="""',
    "calls": "pwd=a('",
    "open calls": "pwd=a(b",
    "tuples": "pwd=('\\",
    "sums": "pwd='a'+",
    "types": 'pwd: a<a="',
    "words": "\npwd: a b",
    "separators": "pwd=a;a&",
    "escaped letters": "%2577",
    "parts of a form": 'name="pwd"\r\n\r\n',
    "values before names": "value='a' ",
    "first arguments": '("pwd","',
    "calls of auth": "Auth('a',",
    "dotted": "4111.",
    "counts": "tokens=",
    "counts in quotes": "tokens='",
    "counts in brackets": "tokens=[",
    "lists of counts": 'tokens=["a',
    "elements": "<password>x",
    "commands": "curl -u ",
    "options of a command": "zip -P a ",
    "quotes of a command": "curl -u 'a\\",
    "told": "pwd is a1.",
    "tables": "password | a",
    "users": "CREATE USER a IDENTIFIED BY ",
    "logins": "machine a login b password ",
}
"""Pieces of texts of 256 KB: what takes so long must not be kept, but is looked through elsewhere."""


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_takes_long(name: str) -> None:
    """All that is kept of one call at most, 16 KiB: what grew with the square would take many seconds."""

    def seconds(text: str) -> float:
        begin = time.process_time()
        REDACTED.kept({"x": text})
        return time.process_time() - begin

    text = HOSTILE[name]
    seconds(text)
    assert min(seconds(text) for _ in range(3)) < 0.5


@pytest.mark.parametrize("name", LONG)
def test_no_long_text_takes_long(name: str) -> None:
    text = LONG[name] * (256_000 // len(LONG[name]))
    begin = time.process_time()
    REDACTED.kept({"x": text})
    assert time.process_time() - begin < 5.0  # with the square: minutes
