"""Reading the web for sources: pages, robots.txt, sitemaps and feeds."""
