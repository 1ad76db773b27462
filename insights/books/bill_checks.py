"""What must hold of invoices, their lines, numbers, credits and corrections; constants only.

What takes more than SQL, the hashes and the usage that lines were made of, is in `bill_queries.py`.
"""

from __future__ import annotations

from insights.books.check import Check, count_rows, of_account

_IS_VOID = """EXISTS (SELECT FROM insights_settlement v
    WHERE v.account_id = {i}.account_id AND v.invoice_id = {i}.id AND v.state = 'void')"""
INVOICE_TOTALS = Check(
    name="lines add to their invoices",
    rows=count_rows("insights_invoice"),
    differences=f"""
        SELECT format('invoice %%s: its lines do not add to its total', i.id)
        FROM insights_invoice i LEFT JOIN (
            SELECT l.account_id, l.invoice_id, sum(l.amount_minor) AS minor FROM insights_lineitem l
            WHERE {of_account("l")} GROUP BY 1, 2
        ) l ON l.account_id = i.account_id AND l.invoice_id = i.id
        WHERE {of_account("i")} AND i.total_minor <> coalesce(l.minor, 0)
        UNION ALL
        SELECT format('invoice %%s: issued below zero', i.id) FROM insights_invoice i
        WHERE {of_account("i")} AND i.state = 'issued' AND i.total_minor < 0
    """,
)
STEPS = Check(
    name="steps add to their lines",
    rows=count_rows("insights_lineitem"),
    differences=f"""
        SELECT format('line %%s of invoice %%s: its steps do not add to it', l.id, l.invoice_id)
        FROM insights_lineitem l CROSS JOIN LATERAL (
            SELECT coalesce(sum((step ->> 'amount_minor')::numeric), 0) AS minor FROM jsonb_array_elements(l.steps) step
        ) steps
        WHERE {of_account("l")} AND (l.kind = 'charge' OR l.steps <> '[]') AND steps.minor <> l.amount_minor
    """,
)
INVOICE_NUMBERS = Check(
    name="invoice numbers have no gap",
    rows="SELECT count(*) FROM insights_invoicenumber",
    differences="""
        SELECT format('legal entity %%s: number %%s follows %%s', legal_entity_id, number_in_series, before) FROM (
            SELECT legal_entity_id, number_in_series, coalesce(lag(number_in_series) OVER (
                PARTITION BY legal_entity_id ORDER BY number_in_series), 0) AS before FROM insights_invoicenumber
        ) n WHERE number_in_series <> before + 1
        UNION ALL
        SELECT format('legal entity %%s: number %%s is that of invoice %%s in the register, and of %%s',
            coalesce(n.legal_entity_id, i.legal_entity_id), coalesce(n.number_in_series, i.number_in_series),
            coalesce(n.invoice_id::text, 'none'), coalesce(i.id::text, 'none'))
        FROM insights_invoicenumber n FULL JOIN (SELECT * FROM insights_invoice WHERE state = 'issued') i
            ON i.legal_entity_id = n.legal_entity_id AND i.number_in_series = n.number_in_series
        WHERE n.invoice_id IS DISTINCT FROM i.id
        UNION ALL
        SELECT format('invoice %%s: is called otherwise than its number', i.id) FROM insights_invoice i
        CROSS JOIN LATERAL (SELECT i.number_in_series::text AS digits) n
        WHERE i.state = 'issued' AND i.number NOT LIKE '%%' || lpad(n.digits, greatest(6, length(n.digits)), '0')
        UNION ALL
        SELECT format('legal entity %%s: its counter is not at its highest number',
            coalesce(c.legal_entity_id, n.legal_entity_id))
        FROM insights_invoicecounter c FULL JOIN (
            SELECT legal_entity_id, max(number_in_series) AS highest FROM insights_invoicenumber GROUP BY 1
        ) n ON n.legal_entity_id = c.legal_entity_id
        WHERE coalesce(c.last_number, 0) <> coalesce(n.highest, 0)
    """,
    is_platform_wide=True,
)
SETTLEMENTS = Check(
    name="issued invoices have one settlement",
    rows=count_rows("insights_settlement"),
    differences=f"""
        SELECT format('invoice %%s: %%s, with %%s settlements', i.id, i.state, count(s.id))
        FROM insights_invoice i LEFT JOIN insights_settlement s
            ON s.account_id = i.account_id AND s.invoice_id = i.id
        WHERE {of_account("i")} GROUP BY i.account_id, i.id, i.state
        HAVING count(s.id) <> (i.state = 'issued')::integer
    """,
)
_USES_BY_INVOICE = """SELECT u.account_id, u.invoice_id, u.grant_id,
    sum(u.amount_minor) FILTER (WHERE NOT u.is_return) AS used, sum(u.amount_minor) AS kept,
    bool_or(u.is_return) AS is_returned
    FROM insights_credituse u WHERE {account} GROUP BY 1, 2, 3"""
CREDIT_USES = Check(
    name="credits are used within their amount",
    rows=count_rows("insights_credituse"),
    differences=f"""
        SELECT format('credit %%s: its uses do not add to between nothing and its amount', g.id)
        FROM insights_creditgrant g JOIN (
            SELECT u.account_id, u.grant_id, sum(u.amount_minor) AS minor FROM insights_credituse u
            WHERE {of_account("u")} GROUP BY 1, 2
        ) u ON u.account_id = g.account_id AND u.grant_id = g.id
        WHERE u.minor < 0 OR u.minor > g.amount_minor
        UNION ALL
        SELECT format('credit use %%s of invoice %%s: in another currency, or before the invoice is issued', u.id, i.id)
        FROM insights_credituse u JOIN insights_creditgrant g ON g.account_id = u.account_id AND g.id = u.grant_id
        JOIN insights_invoice i ON i.account_id = u.account_id AND i.id = u.invoice_id
        WHERE {of_account("u")} AND (g.currency <> i.currency OR i.state <> 'issued')
        UNION ALL
        SELECT format('invoice %%s: void, and keeps a part of credit %%s', i.id, u.grant_id)
        FROM ({_USES_BY_INVOICE.format(account=of_account("u"))}) u
        JOIN insights_invoice i ON i.account_id = u.account_id AND i.id = u.invoice_id
        WHERE u.kept <> 0 AND {_IS_VOID.format(i="i")}
        UNION ALL
        SELECT format('invoice %%s: gave back credit %%s and is not void', i.id, u.grant_id)
        FROM ({_USES_BY_INVOICE.format(account=of_account("u"))}) u
        JOIN insights_invoice i ON i.account_id = u.account_id AND i.id = u.invoice_id
        WHERE u.is_returned AND NOT {_IS_VOID.format(i="i")}
    """,
)
# The key of a credit's line, and of that line's correction: `billing.basis.line_key` in SQL.
_CREDIT_KEY = "'credit grant ' || g.public_id"
_CORRECTION_KEY = f"""CASE WHEN strpos(c.number, ':') > 0 THEN 'correction:' || encode(sha256(convert_to(
        format(E'10 correction\\n%%s %%s\\n%%s %%s', length(c.number), c.number, length({_CREDIT_KEY}), {_CREDIT_KEY}),
        'UTF8')), 'hex')
    ELSE 'correction:' || c.number || ':' || {_CREDIT_KEY} END"""
CREDIT_LINES = Check(
    name="credit lines are uses of credits",
    rows=count_rows("insights_lineitem", where="kind = 'credit'"),
    differences=f"""
        WITH said AS (
            SELECT account_id, invoice_id, grant_id, -sum(minor) AS minor FROM (
                SELECT l.account_id, l.invoice_id, g.id AS grant_id, l.amount_minor AS minor
                FROM insights_lineitem l JOIN insights_creditgrant g
                    ON g.account_id = l.account_id AND l.key = {_CREDIT_KEY}
                WHERE {of_account("l")} AND l.kind = 'credit'
                UNION ALL
                SELECT l.account_id, l.invoice_id, g.id, l.amount_minor
                FROM insights_lineitem l JOIN insights_invoice c
                    ON c.account_id = l.account_id AND c.id = l.corrects_invoice_id
                JOIN insights_creditgrant g ON g.account_id = l.account_id AND l.key = {_CORRECTION_KEY}
                WHERE {of_account("l")} AND l.kind = 'correction'
            ) lines GROUP BY 1, 2, 3 HAVING sum(minor) <> 0
        )
        SELECT format('invoice %%s: its lines take otherwise from credit %%s than was used', i.id,
            coalesce(s.grant_id, u.grant_id))
        FROM said s FULL JOIN ({_USES_BY_INVOICE.format(account=of_account("u"))}) u
            ON u.account_id = s.account_id AND u.invoice_id = s.invoice_id AND u.grant_id = s.grant_id
        JOIN insights_invoice i ON i.id = coalesce(s.invoice_id, u.invoice_id)
        WHERE i.state = 'issued' AND s.minor IS DISTINCT FROM u.used
    """,
)
CARRIED = Check(
    name="what is carried is granted",
    rows=count_rows("insights_creditgrant", where="kind = 'carried'"),
    differences=f"""
        SELECT format('invoice %%s: carries otherwise than is granted', i.id)
        FROM insights_invoice i LEFT JOIN (
            SELECT l.account_id, l.invoice_id, sum(l.amount_minor) AS minor FROM insights_lineitem l
            WHERE {of_account("l")} AND l.kind = 'carried' GROUP BY 1, 2
        ) l ON l.account_id = i.account_id AND l.invoice_id = i.id
        LEFT JOIN insights_creditgrant g ON g.account_id = i.account_id AND g.from_invoice_id = i.id
        WHERE {of_account("i")} AND i.state = 'issued' AND l.minor IS DISTINCT FROM g.amount_minor
        UNION ALL
        SELECT format('credit %%s: carried from an invoice that is not issued, or in another currency', g.id)
        FROM insights_creditgrant g LEFT JOIN insights_invoice i
            ON i.account_id = g.account_id AND i.id = g.from_invoice_id
        WHERE {of_account("g")} AND (g.kind = 'carried' OR g.from_invoice_id IS NOT NULL)
          AND ((g.kind, i.state) IS DISTINCT FROM ('carried', 'issued') OR g.currency <> i.currency)
    """,
)
# A hole is in order while the invoice that filled it is void and not made anew.
PERIODS = Check(
    name="issued periods tile their subscriptions",
    rows=count_rows("insights_invoice", where="state = 'issued' AND kind = 'period'"),
    differences=f"""
        WITH billed AS (
            SELECT i.*, lag(i.id) OVER w AS before, lag(i.period_end) OVER w AS end_before FROM insights_invoice i
            WHERE {of_account("i")} AND i.state = 'issued' AND i.kind = 'period' AND NOT {_IS_VOID.format(i="i")}
            WINDOW w AS (PARTITION BY i.account_id, i.subscription_id ORDER BY i.period_start, i.id)
        )
        SELECT format('invoice %%s: its period overlaps that of invoice %%s', id, before) FROM billed
        WHERE period_start < end_before
        UNION ALL
        SELECT format('invoice %%s: there is a hole before its period, after invoice %%s', b.id, b.before) FROM billed b
        WHERE b.period_start > b.end_before AND NOT EXISTS (
            SELECT FROM insights_invoice i WHERE i.account_id = b.account_id AND i.subscription_id = b.subscription_id
              AND i.state = 'issued' AND i.kind = 'period' AND {_IS_VOID.format(i="i")}
              AND i.period_start >= b.end_before AND i.period_end <= b.period_start)
        UNION ALL
        SELECT format('invoice %%s: its period is not in its subscription', i.id)
        FROM insights_invoice i JOIN insights_subscription s ON s.account_id = i.account_id AND s.id = i.subscription_id
        WHERE {of_account("i")} AND i.state = 'issued' AND i.period_start < s.starts_at
        UNION ALL
        SELECT format('invoice %%s: closes a subscription that does not end with its period', i.id)
        FROM insights_invoice i JOIN insights_subscription s ON s.account_id = i.account_id AND s.id = i.subscription_id
        WHERE {of_account("i")} AND i.state = 'issued' AND i.kind = 'closing'
          AND i.period_end IS DISTINCT FROM s.ends_at
        UNION ALL
        SELECT format('line %%s of invoice %%s: is no correction, and closes a subscription', l.id, i.id)
        FROM insights_lineitem l JOIN insights_invoice i ON i.account_id = l.account_id AND i.id = l.invoice_id
        WHERE {of_account("l")} AND i.kind = 'closing' AND l.kind NOT IN ('correction', 'credit', 'carried')
    """,
)
# What a line came to first, with all its corrections, stays on its side of zero: nobody is given back more than they
# were billed, and no discount or credit becomes a charge. But where a fee comes back, its discount does too. A fee is
# corrected by being left out of its bill, for good. A line that goes on behind a change of plan may be below zero by
# itself: by steps that fall, or by a larger discount by an amount.
CORRECTIONS = Check(
    name="corrections are of issued lines and within them",
    rows=count_rows("insights_lineitem", where="corrects_invoice_id IS NOT NULL"),
    differences=f"""
        SELECT format('line %%s of invoice %%s: corrects no line of an issued invoice of its subscription', l.id, i.id)
        FROM insights_lineitem l
        JOIN insights_invoice i ON i.account_id = l.account_id AND i.id = l.invoice_id
        LEFT JOIN insights_invoice c ON c.account_id = l.account_id AND c.id = l.corrects_invoice_id
        LEFT JOIN insights_lineitem o ON o.account_id = l.account_id AND o.id = l.corrects_id
        WHERE {of_account("l")} AND (l.kind = 'correction' OR l.corrects_invoice_id IS NOT NULL)
          AND (l.kind = 'correction' OR i.state = 'issued')
          AND ((c.state, c.subscription_id) IS DISTINCT FROM ('issued', i.subscription_id)
            OR (l.corrects_id IS NOT NULL AND o.invoice_id IS DISTINCT FROM c.id)
            OR (l.kind <> 'correction' AND l.corrects_id IS NULL))
        UNION ALL
        SELECT format('line %%s of invoice %%s: corrected to the other side of zero', o.id, o.invoice_id)
        FROM insights_lineitem o JOIN (
            SELECT l.account_id, l.corrects_id, sum(l.amount_minor) AS minor
            FROM insights_lineitem l JOIN insights_invoice i ON i.account_id = l.account_id AND i.id = l.invoice_id
            WHERE {of_account("l")} AND i.state = 'issued' AND NOT {_IS_VOID.format(i="i")}
              AND l.corrects_id IS NOT NULL GROUP BY 1, 2
        ) c ON c.account_id = o.account_id AND c.corrects_id = o.id
        WHERE (o.kind IN ('charge', 'minimum') AND o.corrects_id IS NULL AND o.amount_minor + c.minor < 0
                AND o.segment ->> 'counted_before' IS NULL)
           OR (o.kind IN ('credit', 'maximum') AND o.amount_minor + c.minor > 0)
           OR (o.kind = 'discount' AND o.amount_minor + c.minor > 0 AND NOT EXISTS (
                SELECT FROM insights_lineitem back WHERE back.account_id = o.account_id
                  AND back.invoice_id = o.invoice_id AND back.kind = 'charge' AND back.corrects_id IS NOT NULL))
        UNION ALL
        SELECT format('line %%s of invoice %%s: a fee that later invoices took back otherwise than in full', o.id,
            o.invoice_id)
        FROM insights_lineitem o JOIN (
            SELECT l.account_id, l.corrects_id, sum(l.amount_minor) AS minor
            FROM insights_lineitem l JOIN insights_invoice i ON i.account_id = l.account_id AND i.id = l.invoice_id
            WHERE {of_account("l")} AND i.state = 'issued' AND NOT {_IS_VOID.format(i="i")}
              AND l.kind = 'correction' AND l.corrects_id IS NOT NULL GROUP BY 1, 2
        ) c ON c.account_id = o.account_id AND c.corrects_id = o.id
        WHERE o.kind = 'charge' AND o.meter_key = '' AND o.amount_minor + c.minor <> 0
    """,
)
BILL_CHECKS = (
    INVOICE_TOTALS,
    STEPS,
    INVOICE_NUMBERS,
    SETTLEMENTS,
    CREDIT_USES,
    CREDIT_LINES,
    CARRIED,
    PERIODS,
    CORRECTIONS,
)
