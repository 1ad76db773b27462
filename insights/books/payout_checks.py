"""What must hold of money that was paid out to closed accounts: it was owed, and is owed no more; constants only."""

from __future__ import annotations

from insights.books.check import Check, count_rows, of_account

PAYOUTS = Check(
    name="payouts are within what was owed",
    rows=count_rows("insights_payout"),
    differences=f"""
        SELECT format('payout %%s: the credits it used do not add to its amount', p.id)
        FROM insights_payout p LEFT JOIN (
            SELECT u.account_id, u.payout_id, sum(u.amount_minor) AS minor FROM insights_credituse u
            WHERE {of_account("u")} AND u.payout_id IS NOT NULL GROUP BY 1, 2
        ) u ON u.account_id = p.account_id AND u.payout_id = p.id
        WHERE {of_account("p")} AND p.amount_minor <> coalesce(u.minor, 0)
        UNION ALL
        SELECT format('payout %%s: of a credit that was not carried, in another currency, or of an open account', p.id)
        FROM insights_payout p JOIN accounts_account a ON a.id = p.account_id
        JOIN insights_credituse u ON u.account_id = p.account_id AND u.payout_id = p.id
        JOIN insights_creditgrant g ON g.account_id = u.account_id AND g.id = u.grant_id
        WHERE {of_account("p")} AND (g.kind <> 'carried' OR g.currency <> p.currency OR a.closed_at IS NULL)
        UNION ALL
        SELECT format('account %%s: paid out more %%s than bills below zero left', p.account_id, p.currency)
        FROM (
            SELECT p.account_id, p.currency, sum(p.amount_minor) AS minor FROM insights_payout p
            WHERE {of_account("p")} GROUP BY 1, 2
        ) p LEFT JOIN (
            SELECT g.account_id, g.currency, sum(g.amount_minor - coalesce(u.minor, 0)) AS minor
            FROM insights_creditgrant g LEFT JOIN (
                SELECT u.account_id, u.grant_id, sum(u.amount_minor) AS minor FROM insights_credituse u
                WHERE {of_account("u")} AND u.invoice_id IS NOT NULL GROUP BY 1, 2
            ) u ON u.account_id = g.account_id AND u.grant_id = g.id
            WHERE {of_account("g")} AND g.kind = 'carried' GROUP BY 1, 2
        ) g ON g.account_id = p.account_id AND g.currency = p.currency
        WHERE p.minor > coalesce(g.minor, 0)
    """,
)
