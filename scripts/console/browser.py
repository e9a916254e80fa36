"""What a person sees in the console, in headless Chromium against three real processes. Called by browser.sh."""

import json
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import JavascriptException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from cluster import Cluster, Writer, text, wait

SCRIPT_KEY = "<script>alert(1)</script>"
SCRIPT_VALUE = "<img src=x onerror=alert(2)><b>bold</b>"

# Kept by the browser before anything of the page runs.
WITNESS = """
window.breaches = [];
document.addEventListener("securitypolicyviolation", (event) => window.breaches.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


class Page:
    def __init__(self, artefacts):
        self.artefacts = Path(artefacts)
        self.profile = tempfile.TemporaryDirectory()
        options = Options()
        options.binary_location = "/usr/bin/chromium"
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb",
                         "--disable-background-networking", "--window-size=1180,1000", f"--user-data-dir={self.profile.name}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        self.driver.set_script_timeout(20)
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=WITNESS)

    def cdp(self, command, **parameters):
        return self.driver.execute_cdp_cmd(command, parameters)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.textContent ?? ''", selector)

    def nodes(self):
        """Of each member its role and term, as the picture shows them."""
        script = "return [...document.querySelectorAll('.node')].map((node) => [node.dataset.member, node.dataset.role, node.dataset.term])"
        return {name: (role, int(term) if term else None) for name, role, term in self.run(script)}

    def keys(self, *keys):
        # To whatever has the focus by then: an element asked for before may be drawn anew meanwhile.
        ActionChains(self.driver).send_keys(*keys).perform()

    def focus_is_on(self, script):
        return self.run(f"const element = document.activeElement; return Boolean({script})")

    def shot(self, name, selector=None):
        path = self.artefacts / f"{name}.png"
        if selector:
            self.all(selector)[0].screenshot(str(path))
        else:
            self.driver.save_screenshot(str(path))
        print(f"    {path.name}: {path.stat().st_size // 1024} KiB")

    def media(self, **features):
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": name.replace("_", "-"), "value": value} for name, value in features.items()])

    def complaints(self):
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def close(self):
        self.driver.quit()
        self.profile.cleanup()


def step(words):
    print(f"browser: {words}", flush=True)


def the_cluster_is_shown(page, cluster, leader, asked):
    step("the members, their roles and the log are shown")
    page.driver.get(cluster.client[asked] + "/")
    wait("the leader on the page", lambda: page.nodes().get(leader, ("",))[0] == "leader")
    nodes = page.nodes()
    assert sorted(nodes) == cluster.names, nodes
    assert sorted(role for role, _ in nodes.values()) == ["follower", "follower", "leader"], nodes
    assert page.text("#headline-text") == f"{leader} leads in term {nodes[leader][1]}", page.text("#headline-text")
    wait("a link to each follower", lambda: len(page.all('.link[data-state="ok"]')) == 2)
    wait("cells in every lane", lambda: page.run(
        "return [...document.querySelectorAll('.lane')].map((lane) => lane.querySelectorAll('.cell').length).filter((count) => count > 3).length") == 3)
    wait("charts with lines", lambda: len(page.all(".uplot canvas")) == 5)
    assert "was elected leader" in page.text("#events"), "what happened before the page was opened is told too"
    return nodes[leader][1]


def the_positions_move(page, cluster, asked):
    step("positions move while something is written")
    newest = "return Math.max(...[...document.querySelectorAll('.cell')].map((cell) => Number(cell.dataset.index)))"
    before = page.run(newest)
    wait("the log to grow on the page", lambda: page.run(newest) > before + 20)


def the_latency_chart_has_data(page):
    step("how long calls take: the chart has numbers for reads and writes")
    cells = "return [...document.querySelectorAll('#chart-latency .u-legend .u-series')].slice(1).map((row) => [row.querySelector('.u-label').textContent, Number(row.querySelector('.u-value').textContent)])"
    shown = lambda: [(label, value) for label, value in page.run(cells) if value and value > 0]
    rows = wait("four lines with numbers", lambda: (found := shown()) and len(found) == 4 and found)
    for half, nearly_all in (rows[:2], rows[2:]):
        assert half[1] <= nearly_all[1], rows
    step("  " + ", ".join(f"{label} {value} ms" for label, value in rows))


def a_slow_request(page, cluster, asked):
    step("a slow request is listed with where its time went")
    others = [name for name in cluster.names if name != asked]
    # Nothing can be committed while the others are halted: the put waits for the majority.
    try:
        for name in others:
            cluster.halt(name)
        put = threading.Thread(target=cluster.put, args=(asked, "waited/slow", "for a majority"), daemon=True)
        put.start()
        threading.Event().wait(0.4)
    finally:
        for name in others:
            cluster.go_on(name)
    put.join(20)
    page.run("location.hash = 'requests'")
    rows = lambda: [row.text for row in page.all('#slow tr[data-slow="etcdserverpb.KV/Put"]') if "waited/slow" in row.text]
    row = wait("the slow put", rows)[0]
    assert "majority" in row or "waited for its turn" in row, row
    assert page.all("#slow svg.parts rect"), "its parts as a bar"
    assert "since this member was started" in page.text("#slow"), page.text("#slow")
    step("  " + " | ".join(row.split("\n")))
    page.shot("slow", "#view-requests")
    page.run("location.hash = 'cluster'")
    wait("all to be well again", lambda: page.run("return document.getElementById('headline').dataset.mood") == "well")


def the_leader_dies(page, cluster, leader, term):
    step(f"the leader dies: {leader} is killed")
    began = time.monotonic()
    cluster.kill(leader)
    newer = wait("a new leader on the page", lambda: next(
        ((name, at) for name, (role, at) in page.nodes().items() if role == "leader" and at > term), None))
    took = time.monotonic() - began
    wait("the dead one shown as such", lambda: page.nodes()[leader][0] == "gone")
    step(f"  the page showed {newer[0]} as leader of term {newer[1]} after {took:.2f} s")
    assert page.text("#headline-text") == f"{newer[0]} leads in term {newer[1]}"
    assert leader in page.text("#headline-more"), page.text("#headline-more")
    wait("the election in the list", lambda: page.all(f'#events li[data-kind="leader"][data-term="{newer[1]}"]'))
    wait("the term in the timeline", lambda: page.all(f'[data-term-line="{newer[1]}"]'))
    wait("a cut link", lambda: page.all('.link[data-state="cut"]'))
    return newer


def the_dead_one_comes_back(page, cluster, name):
    step(f"{name} is started again")
    cluster.start(name)
    wait("it to follow on the page", lambda: page.nodes()[name][0] == "follower")
    wait("all to be well", lambda: page.run("return document.getElementById('headline').dataset.mood") == "well")


def keys_and_their_history(page, cluster, asked):
    step("a key's history, its lease, and a key that looks like markup; by keyboard alone")
    lease = cluster.post(asked, "lease/grant", TTL="600")["ID"]
    for number in range(3):
        cluster.put(asked, "console/history", f"value {number}", lease if number == 2 else 0)
    cluster.put(asked, SCRIPT_KEY, SCRIPT_VALUE)
    page.run("document.activeElement.blur()")
    page.all("body")[0].send_keys("/")
    assert page.focus_is_on("element.id === 'finder-prefix'"), "/ leads to the finder"
    page.keys("console/", Keys.ENTER)
    wait("the key in the list", lambda: [row.text for row in page.all("#keys-list button.row")] == ["console/history"])
    page.keys(Keys.TAB, Keys.TAB, Keys.TAB)
    for _ in range(4):
        if page.focus_is_on("element.matches('#keys-list button.row')"):
            break
        page.keys(Keys.TAB)
    assert page.focus_is_on("element.matches('#keys-list button.row')"), "the key can be reached by Tab"
    page.keys(Keys.ENTER)
    values = lambda: [value.text for value in page.all(".history .value")]
    wait("its history", lambda: values() == ["value 2", "value 1", "value 0"])
    assert "Created at revision" in page.text(".history"), page.text(".history")
    assert f"{int(lease):x}" in page.text("#key-details"), "the lease that holds it"
    page.shot("keys")
    a_deleted_key(page, cluster, asked)
    scripts = page.run("return document.scripts.length")
    page.run("document.getElementById('finder-prefix').value = '<'")
    page.all("#finder-prefix")[0].send_keys(Keys.ENTER)
    wait("the key that looks like markup", lambda: [row.text for row in page.all("#keys-list button.row")] == [SCRIPT_KEY])
    page.all("#keys-list button.row")[0].click()
    wait("its value as text", lambda: values() == [SCRIPT_VALUE])
    assert page.run("return document.scripts.length") == scripts and not page.all("#key-details img, #key-details b")


def a_deleted_key(page, cluster, asked):
    step("a key that was deleted, put again and deleted: its history has all of it")
    key = "console/deleted"
    for number in range(2):
        cluster.put(asked, key, f"life {number}")
        cluster.post(asked, "kv/deleterange", key=text(key))
    finder = page.all("#finder-prefix")[0]
    finder.clear()
    finder.send_keys(key, Keys.ENTER)
    wait("the key that is gone", lambda: page.text("#keys-list .gone-key").startswith(key))
    page.all("#keys-list .gone-key button")[0].click()
    items = lambda: ["deleted" if item.get_attribute("class") == "deleted" else item.find_element(By.CSS_SELECTOR, ".value").text for item in page.all(".history li[data-revision]")]
    wait("both lives and both deletions", lambda: items() == ["deleted", "life 1", "deleted", "life 0"])
    assert "It is not there now." in page.text("#key-details"), page.text("#key-details")
    assert "Created at revision" in page.text(".history .end"), page.text(".history")
    page.shot("deleted-key", "#view-keys")


def isolated_and_healed(page, cluster, asked):
    step("a member that is cut off on purpose: its links, and the timeline says so once it is back")
    leader = wait("a leader", cluster.leader)
    name = next(name for name in cluster.names if name not in (asked, leader))
    cluster.fault("isolate", name)
    wait("it not to answer on the page", lambda: page.nodes()[name][0] == "gone")
    assert not page.all('#events li[data-kind="isolated"]'), "nobody can ask it yet"
    cluster.fault("heal", name)
    for kind, words in (("isolated", f"{name} was cut off from all its peers on purpose"), ("healed", f"{name} was let back to its peers")):
        wait(f"{kind} in the list", lambda: any(words in item.text for item in page.all(f'#events li[data-kind="{kind}"]')))
    marks = "return [...document.querySelectorAll('.timeline .mark')].map((mark) => mark.firstChild.textContent)"
    wait("both marks in the timeline", lambda: {"✂", "∞"} <= set(page.run(marks)))
    wait("all to be well", lambda: page.run("return document.getElementById('headline').dataset.mood") == "well")


def the_keyboard(page):
    step("views by number and by arrow, members by Tab and Enter")
    body = page.all("body")[0]
    page.run("document.activeElement.blur()")
    for number, view in enumerate(["cluster", "keys", "requests", "learn"], 1):
        body.send_keys(str(number))
        wait(f"view {view}", lambda: page.run("return !document.getElementById('view-' + arguments[0]).hidden", view))
        page.run("document.activeElement.blur()")
    page.run("document.getElementById('tab-learn').focus()")
    page.keys(Keys.ARROW_RIGHT)
    wait("the first view again", lambda: page.focus_is_on("element.id === 'tab-cluster'"))
    wait("members", lambda: page.all(".node"))
    for _ in range(8):
        page.keys(Keys.TAB)
        if page.focus_is_on("element.matches('.node')"):
            break
    assert page.focus_is_on("element.matches('.node')"), "members can be reached by Tab"
    page.keys(Keys.TAB)
    name = page.run("return document.activeElement.dataset.member")
    page.keys(Keys.ENTER)
    wait("the chosen member's details", lambda: name in page.text("#member-details h3"))
    assert page.focus_is_on("element.dataset.member === %s" % json.dumps(name)), "the focus outlives a new picture"
    help_button = page.all("#members-title .help-button")[0]
    help_button.send_keys(Keys.ENTER)
    assert page.all("#help-members")[0].is_displayed() and help_button.get_attribute("aria-expanded") == "true"
    help_button.send_keys(Keys.ENTER)


def watchers(page, cluster, asked):
    step("watchers are listed")
    body = json.dumps({"create_request": {"key": text("boats/"), "range_end": text("boats0")}}).encode()
    watch = urllib.request.urlopen(urllib.request.Request(f"{cluster.client[asked]}/v3/watch", body), timeout=30)
    try:
        page.run("location.hash = 'requests'")
        wait("the watched range", lambda: "boats/ up to boats0" in page.text("#watchers"))
        page.shot("requests")
    finally:
        watch.close()
    page.run("location.hash = 'cluster'")


def light_and_dark(page):
    step("light and dark, and without motion")
    lightness = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0)"
    page.media(prefers_color_scheme="light")
    assert page.run(lightness) > 600
    page.media(prefers_color_scheme="dark")
    assert page.run(lightness) < 150
    wait("charts in the new colours", lambda: len(page.all(".uplot canvas")) == 5)
    page.shot("cluster-dark")
    page.media(prefers_color_scheme="light")
    running = "return document.getAnimations().length"
    wait("something that moves", lambda: page.run(running) > 0)
    page.media(prefers_reduced_motion="reduce")
    wait("nothing that moves", lambda: page.run(running) == 0)
    page.media(prefers_color_scheme="light")


def on_a_phone(page):
    step("a phone's width: nothing to scroll sideways")
    page.cdp("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    for view in ["keys", "requests", "learn", "cluster"]:
        page.run("location.hash = arguments[0]", view)
        wait(f"view {view}", lambda: page.run("return !document.getElementById('view-' + arguments[0]).hidden", view))
        width = page.run("return Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)")
        assert width <= 360, f"{view} is {width} px wide"
    wait("charts as wide as the phone", lambda: page.run("return document.querySelector('.uplot').clientWidth") < 360)
    page.run("scrollTo(0, 0)")
    page.shot("phone")
    page.cdp("Emulation.clearDeviceMetricsOverride")


def what_it_costs(page, cluster, asked):
    step("what one who looks costs the member")
    seconds = 10
    def share():
        before, began = cluster.cpu_seconds(asked), time.monotonic()
        threading.Event().wait(seconds)
        return (cluster.cpu_seconds(asked) - before) / (time.monotonic() - began) * 100
    with_page = share()
    page.driver.get("about:blank")
    without = share()
    step(f"  {with_page:.1f} % of a core with the page, {without:.1f} % without")
    assert with_page - without < 2, "one who looks costs less than 2 % of a core"
    page.driver.get(cluster.client[asked] + "/")
    wait("the page again", lambda: len(page.nodes()) == 3)


def signing_in(page, cluster, asked):
    step("where permissions count: a form, wrong and right passwords, and the page goes on")
    cluster.post(asked, "auth/user/add", name="root", password="secret")
    cluster.post(asked, "auth/user/grant", user="root", role="root")
    cluster.post(asked, "auth/enable")
    dialog = lambda: page.run("return document.getElementById('sign-in').open")
    wait("to be asked who one is", dialog)
    for password in ("wrong", "secret"):
        for field, value in (("user", "root"), ("password", password)):
            box = page.all(f"#sign-in-{field}")[0]
            box.clear()
            box.send_keys(value)
        page.keys(Keys.ENTER)
        if password == "wrong":
            wait("the refusal in words", lambda: "authentication failed" in page.text("#sign-in-error"))
    wait("to be let in", lambda: not dialog())
    wait("the stream to go on", lambda: page.run("return document.getElementById('connection').dataset.state") == "live")
    assert page.all("#sign-out")[0].is_displayed()


def the_policy_bites(page):
    step("the policy bites: no text becomes markup, no script comes from elsewhere")
    assert page.run("return window.breaches") == [], page.run("return window.breaches")
    try:
        page.run("document.body.insertAdjacentHTML('beforeend', '<i>x</i>')")
    except JavascriptException as error:
        assert "TrustedHTML" in str(error), error
    else:
        raise AssertionError("text was made markup")
    wait("the breach to be noticed", lambda: page.run("return window.breaches.length") > 0)


def main():
    program, artefacts = sys.argv[1:3]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        cluster = Cluster(program, directory)
        page = None
        try:
            for name in cluster.names:
                cluster.start(name)
            leader = wait("a leader", cluster.leader)
            asked = next(name for name in cluster.names if name != leader)
            page = Page(artefacts)
            writer = Writer(cluster, asked)
            term = the_cluster_is_shown(page, cluster, leader, asked)
            the_positions_move(page, cluster, asked)
            the_latency_chart_has_data(page)
            threading.Event().wait(float(__import__("os").environ.get("ALMADIA_CONSOLE_LINGER", "0")))
            page.shot("cluster-light")
            newer = the_leader_dies(page, cluster, leader, term)
            page.shot("leader-died")
            the_dead_one_comes_back(page, cluster, leader)
            isolated_and_healed(page, cluster, asked)
            light_and_dark(page)
            on_a_phone(page)
            the_keyboard(page)
            watchers(page, cluster, asked)
            a_slow_request(page, cluster, asked)
            writer.stop()
            keys_and_their_history(page, cluster, asked)
            page.run("location.hash = 'cluster'")
            complaints = page.complaints()
            assert not complaints, complaints
            assert page.run("return window.breaches") == []
            what_it_costs(page, cluster, asked)
            signing_in(page, cluster, asked)
            the_policy_bites(page)
            assert newer[0] in cluster.names
        except BaseException:
            if page:
                page.shot("failed")
                print("\n".join(page.complaints()))
                print(page.text("#headline"), page.nodes())
            for name in cluster.names:
                log = Path(directory) / f"{name}.log"
                if log.exists():
                    print(f"--- {name}", *log.read_text(errors="replace").splitlines()[-12:], sep="\n")
            raise
        finally:
            if page:
                page.close()
            cluster.stop()
    print(f"browser: PASSED in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
