"""The database: engine, tables, migrations, and the feed of changes that everything in memory is built from."""
