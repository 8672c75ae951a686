"""A blueprint with market and strategy filled in, for tests. Its sources are invented, as are its numbers."""

from __future__ import annotations

import textwrap

MARKET = """\
segments:
- {name: small hosts, customers: {low: 8000, likely: 10000, high: 15000}, spend: {low: 200, likely: 300, high: 500}, serviceable: 0.5,
   obtainable: {low: 0.02, likely: 0.04, high: 0.08}, source: a census of hosts, date: 2026-03-01}
- {name: large hosts, customers: 200, spend: 12000, serviceable: {low: 0.1, likely: 0.2, high: 0.3, source: twelve interviews, date: 2026-05-02},
   obtainable: 0.1, source: a census of hosts, date: 2026-03-01}
adoption: {innovation: {low: 0.01, likely: 0.03, high: 0.05}, imitation: {low: 0.3, likely: 0.4, high: 0.5}, elapsed: 4, source: fitted to 3 products,
  date: 2026-01-05}
features:
- {name: runs on site, ours: true, record: package.archive}
- {name: learns online, ours: false, source: our own plan, date: 2026-10-01}
competitors:
- {name: MailGuard, price: {low: 60, likely: 80, high: 120}, quality: {low: 0.90, likely: 0.92, high: 0.93}, p95: 120 ms, features: [learns online],
   source: its price page, date: 2026-09-01}
- {name: Own rules, price: 10, quality: 0.7, features: [runs on site], source: three customers, date: 2026-08-01}
forces:
  rivalry: {strength: 4, why: five sellers with one price, source: their price pages, date: 2026-09-01}
  entrants: {strength: 3, why: open models are good, record: evaluate.metrics.f1_macro.value}
  substitutes: {strength: 4, why: mailboxes bring a filter, source: a survey, date: 2026-02-01}
  buyers: {strength: 2, why: no customer above 5 %, source: our own list, date: 2026-10-01}
  suppliers: {strength: 1, why: three clouds at one price, source: their price lists, date: 2026-11-01}
swot:
  strengths: [{text: answers fast, record: serve.measured_latency.p95}, {text: tells why, record: audit.findings.robustness.status}]
  weaknesses: [{text: one language, source: our data card, date: 2026-11-01}]
  opportunities: [{text: a duty to filter, source: a draft law, date: 2026-06-01}]
  threats: [{text: mailboxes filter better each year, source: a survey, date: 2026-02-01}]
"""
STRATEGY = """\
start: 2027-01-01
canvas:
  partners: [two hosts]
  activities: [keep the filter fresh]
  resources: [6046 labelled mails, one model]
  value: [less spam without mails lost]
  relations: [a person answers within a day]
  channels: [hosts' panels, search]
  customers: [small hosts, large hosts]
  costs: [people]
  revenue: [a price a month]
goals:
- name: a filter that hosts trust
  milestones:
  - name: ready to sell
    due: 2027-06-30
    actions:
    - {name: label more mails, owner: Ada, start: 2027-01-01, end: 2027-03-31, budget: {low: 2000, likely: 3000, high: 6000}, builds: 12,
       metric: {record: evaluate.metrics.f1_macro.value, at_least: 0.95}}
    - {name: a certificate, owner: Ben, start: 2027-02-15, end: 2027-06-30, budget: 5000, metric: {record: audit.findings.robustness.measured.nothing.value, at_least: 1}}
- name: a hundred hosts
  milestones:
  - name: found by search
    due: 2028-12-31
    actions:
    - {name: write and show, owner: Cy, start: 2027-07-01, end: 2028-06-30, budget: 1200, paid_from: acquisition, metric: {line: customers, at_least: 60}}
    - {name: a person for support, owner: Ben, start: 2028-01-01, end: 2028-12-31, budget: 24000, paid_from: people, metric: {line: cash, at_least: 1000000000}}
machine_hours: 100
risks:
- {name: a copy for nothing, likelihood: {low: 0.1, likely: 0.2, high: 0.4}, impact: {low: 10000, likely: 20000, high: 60000}, trigger: a free release, response: sell service, owner: Ada}
- {name: mails leak, likelihood: 0.02, impact: 200000, trigger: an alarm, response: tell within 72 hours, owner: Ben}
selling:
  markets: [EU, UK, US, CN]
  personal_data: true
  decides: false
  answers:
    eu-gdpr-6: {how: contract and notice, source: notice of 3 pages, date: 2026-10-10}
"""


def text(
    market: str = MARKET,
    strategy: str = STRATEGY,
    *,
    task: str = "text-classification",
    business: str = "{draws: 1000}",
) -> str:
    """A whole blueprint; an empty text leaves a section out."""
    lines = [f"name: mail-spam\ntask: {task}\ndata: {{source: rows.csv, target: label}}\nbusiness: {business}\n"]
    for name, section in (("market", market), ("strategy", strategy)):
        lines += [f"{name}:\n{textwrap.indent(section, '  ')}"] if section else []
    return "".join(lines)
