"""What runs beside the sources: generated retail data, and files on their way to S3.

Nothing here ships into Snowflake, and nothing here knows the code that does.
"""
