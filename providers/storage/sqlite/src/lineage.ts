/** Lineages as SQL: who is below an instance, and who is above it. */

/** An instance and all below it, parents before children. */
export const treeSql = `WITH RECURSIVE tree (key, depth) AS (
    SELECT key, 0 FROM instances WHERE id = ?
    UNION ALL
    SELECT i.key, depth + 1 FROM tree CROSS JOIN instances i ON i.parent = tree.key
    ORDER BY 2)`;

/** An instance and all above it, from below. */
export const aboveSql = `WITH RECURSIVE above (key, height) AS (
    SELECT ?, 0
    UNION ALL
    SELECT i.parent, height + 1 FROM above CROSS JOIN instances i ON i.key = above.key WHERE i.parent IS NOT NULL
    ORDER BY 2)`;
