"""The description of the API at `/docs`, without a public network and under our Content-Security-Policy."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

OpenPage = Callable[..., Page]
DESKTOP = {"width": 1200, "height": 900}


def test_every_route_is_drawn_and_nothing_is_asked_of_anybody_else(open_page: OpenPage) -> None:
    page = open_page("/docs", viewport=DESKTOP)
    expect(page.locator(".info .title")).to_contain_text("Soloist")
    expect(page.locator(".opblock-summary-path").filter(has_text="/v1/status")).to_be_visible()
    creates = page.locator(".opblock-post").filter(has_text="/v1/models/{owner}/{name}/predictions")
    expect(creates).to_be_visible()


def test_a_route_can_be_tried_from_the_page(open_page: OpenPage) -> None:
    page = open_page("/docs", viewport=DESKTOP)
    account = page.locator(".opblock").filter(has_text="/v1/account")
    account.click()
    account.get_by_role("button", name="Try it out").click()
    account.get_by_role("button", name="Execute").click()
    expect(account.locator(".live-responses-table td.response-col_status").last).to_contain_text(
        "200"
    )
    expect(account.locator(".live-responses-table .microlight").first).to_contain_text("local")
