"""The targets: what is measured for each, and what the figures say of it.

A figure is the median over the rounds of one number of one measurement. A measurement has a name
and is made anew in every round, all of them in turn."""

WRAPPER_COMMITS = 5.8  # bare commits that the wrapper's saveChatMessage costs
MIB = 1024 * 1024


class Figures:
    """The results of all rounds: median(name, key), and per-round values for the spread."""

    def __init__(self):
        self.results = {}  # name -> list of JSON objects, one a round

    def add(self, name, result):
        self.results.setdefault(name, []).append(result)

    def values(self, name, key):
        return [result[key] for result in self.results[name] if result.get(key) is not None]

    def median(self, name, key):
        values = sorted(self.values(name, key))
        if not values:
            raise KeyError(f"{name}: {key}")
        middle = len(values) // 2
        return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2

    def rate(self, name):
        return self.median(name, "calls_per_second")

    def p50(self, name):
        return self.median(name, "p50_us")

    def p99(self, name):
        return self.median(name, "p99_us")

    def cpu(self, name):
        """Of client and server, microseconds a call."""
        server = self.values(name, "server_cpu_us_per_call")
        return self.median(name, "client_cpu_us_per_call") + (
            self.median(name, "server_cpu_us_per_call") if server else 0)


class Check:
    """One inequality of a target. better: ">=" or "<="."""

    def __init__(self, what, value, better, limit, unit=" x"):
        self.what, self.value, self.better, self.limit, self.unit = (what, value, better, limit,
                                                                     unit)

    @property
    def reached(self):
        return self.value >= self.limit if self.better == ">=" else self.value <= self.limit

    def text(self):
        return f"{self.what}: {self.value:.2f}{self.unit} ({self.better} {self.limit:g})"


def point_alone(f):
    bound = f.cpu("echo 64") + f.cpu("sqlite point")
    note = (f"CPU per call, client and server: {f.cpu('point no-join 64'):.1f} us; the bound, echo "
            f"{f.cpu('echo 64'):.1f} + statement {f.cpu('sqlite point'):.1f} = {bound:.1f} us")
    return [Check("gRPC", f.rate("point no-join 64") / f.rate("grpc 64"), ">=", 2.0),
            Check("echo", f.rate("point no-join 64") / f.rate("echo 64"), ">=", 0.5)], note


def point_joined(f):
    ours = f.rate("point 64")
    return [Check("gRPC", ours / f.rate("grpc 64"), ">=", 4),
            Check("PostgreSQL", ours / f.rate("postgres point 64"), ">=", 2),
            Check("Redis", ours / f.rate("redis 64"), ">=", 1.5)], ""


def point_one(f):
    return [Check("p50 to echo", f.p50("point 1") / f.p50("echo 1"), "<=", 1.15)], ""


def embedded(f):
    return [Check("p50 to the statement", f.p50("embedded") / f.p50("sqlite point"), "<=", 2)], ""


def save(f):
    commits = f.rate("sqlite commit")
    bound = f.rate("sqlite save")
    note = (f"bare commits: {commits:.0f}/s, so the wrapper saves "
            f"{commits / WRAPPER_COMMITS:.0f}/s; the bound: the same statements in transactions of "
            f"64 by one thread of bare SQLite, {bound:.0f}/s, of which this is "
            f"{f.rate('save 64') / bound:.2f} x")
    return [Check("the wrapper", f.rate("save 64") / (commits / WRAPPER_COMMITS), ">=", 20),
            Check("PostgreSQL", f.rate("save 64") / f.rate("postgres save 64"), ">=", 3)], note


def newest(f):
    note = (f"readonly source without the index: p50 {f.p50('list readonly') / 1000:.0f} ms"
            if "list readonly" in f.results else "")
    return [Check("p50 to echo of the same size", f.p50("list") / f.p50("echo list"), "<=", 4),
            Check("10^6 to 10^3 messages", f.p50("list") / f.p50("list small"), "<=", 1.3)], note


def merged(f):
    alone = 10 * f.p50("merge one by one")
    note = (f"p50 while a chat is changed every 2 ms: {f.p50('merge changing'):.0f} us, "
            f"{f.p50('merge changing') / alone:.2f} x the sum")
    return [Check("p50 to the sum of ten", f.p50("merge") / alone, "<=", 0.5),
            Check("p50 to a point read as large", f.p50("merge") / f.p50("point large"), "<=",
                  1.5)], note


def beside(f):
    scans = f.median("point 8 beside scans", "scans")
    return [Check("p99 to alone", f.p99("point 8 beside scans") / f.p99("point 8"), "<=",
                  3)], f"{scans:.0f} scans in each run"


def crowd(f):
    base = f.rate("point few")
    checks = [("1,000 sources", "point many sources"), ("1,000,000 chats mapped", "point mapped"),
              ("1,000 clients", "point many clients")]
    return [Check(what, base / f.rate(name), "<=", 1.2) for what, name in checks], ""


def memory(f):
    def value(key):
        return f.median("memory", key)

    note = (f"{value('threads'):.0f} threads with 10 sources, "
            f"{value('threads_with_more_sources'):.0f} with 110; once each source has answered: "
            f"{value('asked_bytes') / MIB:.1f} MiB, {value('asked_bytes_per_source') / MIB:.2f} MiB "
            f"per source")
    return [Check("idle", value("idle_bytes") / MIB, "<=", 32, " MiB"),
            Check("each source", value("idle_bytes_per_source") / MIB, "<=", 1, " MiB"),
            Check("each mapped chat", value("bytes_per_mapped"), "<=", 32, " bytes"),
            Check("more threads", value("threads_with_more_sources") - value("threads"), "<=", 0,
                  "")], note


def startup(f):
    note = (f"{f.median('startup', 'server_ms'):.0f} ms; one page of each file "
            f"{f.median('startup', 'one_page_ms'):.0f} ms, one small query of each "
            f"{f.median('startup', 'first_query_ms'):.0f} ms")
    ratio = f.median("startup", "server_ms") / f.median("startup", "one_page_ms")
    return [Check("one page of each file", ratio, "<=", 3)], note


def open_loop(f):
    note = f"{f.median('mix at half', 'rate'):.0f}/s due, of {f.rate('mix 64'):.0f}/s"
    return [Check("p99 to p50 of echo", f.p99("mix at half") / f.p50("echo 1"), "<=", 10)], note


# number: (what, checks of the figures, names of the measurements that it needs)
TARGETS = {
    1: ("`point`, 64 in flight, one call per frame", point_alone,
        ["point no-join 64", "grpc 64", "echo 64", "sqlite point"]),
    2: ("`point`, 64 in flight, joined", point_joined,
        ["point 64", "grpc 64", "postgres point 64", "redis 64"]),
    3: ("`point`, one in flight", point_one, ["point 1", "echo 1"]),
    4: ("`embedded` point read", embedded, ["embedded", "sqlite point"]),
    5: ("`save`, 64 in flight", save, ["save 64", "sqlite commit", "sqlite save", "postgres save 64"]),
    6: ("`list`, newest 100 of 1,000,000, one in flight", newest,
        ["list", "echo list", "list small", "list readonly"]),
    7: ("`merge`, 10 sources of 10 groups, one in flight", merged,
        ["merge", "merge one by one", "merge changing", "point large"]),
    8: ("`point`, 8 in flight, beside 8 scans", beside, ["point 8", "point 8 beside scans"]),
    9: ("`point`, 64 in flight, in a crowd", crowd,
        ["point few", "point many sources", "point mapped", "point many clients"]),
    10: ("memory of an idle server", memory, ["memory"]),
    11: ("start to first answer, 100 sources", startup, ["startup"]),
    12: ("`mix`, open loop at half of capacity", open_loop, ["mix 64", "mix at half", "echo 1"]),
}
